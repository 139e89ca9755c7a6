-- What a signed-in user can do in one round trip: open a ticket, write, edit, close, reopen, mark
-- as read; for staff also status and assignment. Each is safe to repeat with the same ids.

-- Wrong fields of a ticket; null says that a field is not to be looked at.
create function private.ticket_problems(subject text, description text, priority text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  length constant integer := char_length(private.trimmed(subject));
  problems jsonb := '[]';
begin
  if length = 0 then
    problems := problems || private.problem('subject', 'The subject is blank.');
  elsif length > 200 then
    problems := problems || private.problem('subject', 'The subject is longer than 200 characters.');
  end if;
  if char_length(description) > 20000 then
    problems := problems
      || private.problem('description', 'The description is longer than 20000 characters.');
  end if;
  if priority not in ('low', 'medium', 'high') then
    problems := problems
      || private.problem('priority', 'The priority is one of low, medium and high.');
  end if;
  return problems;
end
$$;

create function public.create_ticket(
  id uuid, subject text, description text, handling_org_id uuid, priority text default 'medium',
  attachments jsonb default '[]', follow_up_of uuid default null
) returns jsonb
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := private.require_user();
  wanted_subject constant text := private.trimmed(coalesce(create_ticket.subject, ''));
  wanted_description constant text := coalesce(create_ticket.description, '');
  files constant jsonb := coalesce(nullif(create_ticket.attachments, 'null'), '[]');
  problems jsonb := private.ticket_problems(
    wanted_subject, wanted_description, coalesce(create_ticket.priority, '')
  ) || private.attachments_problems(files);
  opening public.ticket_events;
begin
  if create_ticket.id is null then
    problems := problems || private.problem('id', 'The id is missing.');
  end if;
  if create_ticket.handling_org_id is null then
    problems := problems || private.problem('handling_org_id', 'The organization is missing.');
  elsif not exists (select from public.organizations o where o.id = create_ticket.handling_org_id)
  then
    problems := problems || private.problem('handling_org_id', 'There is no such organization.');
  end if;
  perform private.refuse_invalid(problems);

  -- Two at once with one id: the second waits here for the first, and then finds its ticket.
  insert into public.tickets (id, subject, description, priority, handling_org_id)
  values (
    create_ticket.id, wanted_subject, wanted_description, create_ticket.priority,
    create_ticket.handling_org_id
  )
  on conflict (id) do nothing;
  if found then
    perform private.complete_ticket(create_ticket.id, files, create_ticket.follow_up_of);
  end if;

  select e.* into opening
  from public.ticket_events e join public.tickets t on t.id = e.ticket_id
  where e.ticket_id = create_ticket.id and e.seq = 1 and t.user_id = me;
  -- Against what it was created with: the ticket may have been edited since, and what it follows
  -- deleted.
  if opening.request_hash is distinct from private.ticket_hash(
      wanted_subject, wanted_description, create_ticket.priority, create_ticket.handling_org_id
    )
    or (opening.data ->> 'follow_up_of')::uuid is distinct from create_ticket.follow_up_of
    or private.attachments_key(private.attachments_of_description(create_ticket.id))
      <> private.attachments_key(files)
  then
    perform private.refuse_used_id('id');
  end if;
  return private.opened_json(create_ticket.id);
end
$$;

create function public.send_message(
  id uuid, ticket_id uuid, body text, message_type text default 'public', reply_to uuid default null,
  attachments jsonb default '[]'
) returns jsonb
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := private.require_user();
  files constant jsonb := coalesce(nullif(send_message.attachments, 'null'), '[]');
  problems jsonb := '[]';
  message public.ticket_messages;
begin
  -- The lock first: from here on nobody else writes in this ticket, so what is found stays true.
  perform private.lock_ticket(send_message.ticket_id);
  if send_message.id is null then
    problems := problems || private.problem('id', 'The id is missing.');
  end if;
  if private.trimmed(coalesce(send_message.body, '')) = '' then
    problems := problems || private.problem('body', 'The message is blank.');
  elsif char_length(send_message.body) > 20000 then
    problems := problems || private.problem('body', 'The message is longer than 20000 characters.');
  end if;
  if coalesce(send_message.message_type, '') not in ('public', 'internal') then
    problems := problems || private.problem('message_type', 'The type is public or internal.');
  end if;
  perform private.refuse_invalid(problems || private.attachments_problems(files));

  -- Looked for before writing: a repetition is answered even when the ticket has been closed since.
  select m.* into message
  from public.ticket_messages m
  where m.id = send_message.id and m.author_id = me;
  if not found then
    insert into public.ticket_messages (id, ticket_id, body, message_type, reply_to)
    values (
      send_message.id, send_message.ticket_id, send_message.body, send_message.message_type,
      send_message.reply_to
    )
    on conflict (id) do nothing;
    if found then
      perform private.complete_message(send_message.id, files);
    end if;
    select m.* into message
    from public.ticket_messages m
    where m.id = send_message.id and m.author_id = me;
  end if;
  if (message.ticket_id, message.body, message.message_type, message.reply_to) is distinct from (
    send_message.ticket_id, send_message.body, send_message.message_type, send_message.reply_to
  ) or private.attachments_key(
    coalesce(private.attachments_of_messages(array[message.id]) -> message.id::text, '[]')
  ) <> private.attachments_key(files)
  then
    perform private.refuse_used_id('id');
  end if;
  return private.sent_json(message.id);
end
$$;

-- The event of this ticket that the request made when it first came; null when it is new.
create function private.seen_request(
  ticket_id uuid, request_id uuid, kind text, reason text default null, hash bytea default null
) returns bigint
language plpgsql stable security definer set search_path = ''
as $$
declare
  event public.ticket_events;
begin
  select e.* into event
  from public.ticket_events e
  where e.ticket_id = seen_request.ticket_id and e.request_id = seen_request.request_id;
  if found and (event.actor_id, event.kind, event.data ->> 'reason', event.request_hash)
    is distinct from (
      (select auth.uid()), seen_request.kind, seen_request.reason, seen_request.hash
    )
  then
    perform private.refuse_used_id('request_id');
  end if;
  return event.seq;
end
$$;

-- Notes which request made an event of the caller's own. Definer: nobody writes events directly.
create function private.keep_request(
  ticket_id uuid, seq bigint, request_id uuid, hash bytea default null
) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.ticket_events e
  set request_id = keep_request.request_id, request_hash = keep_request.hash
  where e.ticket_id = keep_request.ticket_id and e.seq = keep_request.seq
    and e.actor_id = (select auth.uid()) and e.request_id is null;
end
$$;

create function public.edit_ticket(
  ticket_id uuid, subject text default null, description text default null,
  priority text default null, request_id uuid default null
) returns jsonb
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
  hash constant bytea := private.ticket_hash(
    edit_ticket.subject, edit_ticket.description, edit_ticket.priority, null
  );
  before public.tickets;
  number bigint;
begin
  perform private.require_user();
  before := private.lock_ticket(edit_ticket.ticket_id);
  perform private.refuse_invalid(private.ticket_problems(
    edit_ticket.subject, edit_ticket.description, edit_ticket.priority
  ));
  -- Looked for before writing: a repetition must not undo what others have changed since.
  number := private.seen_request(
    edit_ticket.ticket_id, edit_ticket.request_id, 'edited', hash => hash
  );
  if number is not null then
    return private.change_json(edit_ticket.ticket_id, number);
  end if;
  if before.status = 'closed' then
    perform private.refuse_closed();
  end if;
  update public.tickets t
  set subject = coalesce(edit_ticket.subject, t.subject),
    description = coalesce(edit_ticket.description, t.description),
    priority = coalesce(edit_ticket.priority, t.priority)
  where t.id = edit_ticket.ticket_id
  returning t.last_seq into number;
  if number = before.last_seq then
    return private.change_json(edit_ticket.ticket_id, null);
  end if;
  perform private.keep_request(edit_ticket.ticket_id, number, edit_ticket.request_id, hash);
  return private.change_json(edit_ticket.ticket_id, number);
end
$$;

-- Definer, as all below that write: status and the rest are nobody's to write directly. Each locks
-- the ticket through lock_ticket, which lets only those through who see it.
create function private.close_ticket(ticket_id uuid, request_id uuid, reason text) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket(close_ticket.ticket_id);
  number bigint := private.seen_request(
    close_ticket.ticket_id, close_ticket.request_id, 'closed', close_ticket.reason
  );
begin
  if number is not null then
    return number;
  end if;
  if ticket.status = 'closed' then
    perform private.refuse_closed();
  end if;
  update public.tickets t set status = 'closed', close_reason = close_ticket.reason
  where t.id = ticket.id
  returning t.last_seq into number;
  perform private.keep_request(ticket.id, number, close_ticket.request_id);
  return number;
end
$$;

create function private.reopen_ticket(ticket_id uuid, request_id uuid) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket(reopen_ticket.ticket_id);
  number bigint := private.seen_request(
    reopen_ticket.ticket_id, reopen_ticket.request_id, 'reopened'
  );
  until timestamptz;
begin
  if number is not null then
    return number;
  end if;
  if ticket.status <> 'closed' then
    perform private.refuse('TK004', 'The ticket is not closed.', 'There is nothing to reopen.');
  end if;
  until := private.reopen_until(ticket);
  if until < clock_timestamp() then
    perform private.refuse('TK005', 'The time to reopen this ticket is over.',
      'Open a new ticket.', to_jsonb(until) #>> '{}');
  end if;
  update public.tickets t set status = 'open'
  where t.id = ticket.id
  returning t.last_seq into number;
  perform private.keep_request(ticket.id, number, reopen_ticket.request_id);
  return number;
end
$$;

-- The ticket, locked, for staff of the organization that handles it.
create function private.lock_ticket_as_staff(ticket_id uuid) returns public.tickets
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket(lock_ticket_as_staff.ticket_id);
begin
  if (ticket.handling_org_id in (select private.staff_org_ids())) is not true then
    perform private.refuse('TK008', 'Only staff may do this.',
      'It is for employees and admins of the organization that handles the ticket.');
  end if;
  return ticket;
end
$$;

create function private.set_ticket_status(ticket_id uuid, status text) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket_as_staff(set_ticket_status.ticket_id);
  number bigint;
begin
  if coalesce(set_ticket_status.status, '') not in ('open', 'in-progress', 'closed') then
    perform private.refuse_invalid(
      private.problem('status', 'The status is one of open, in-progress and closed.')
    );
  end if;
  update public.tickets t set status = set_ticket_status.status
  where t.id = ticket.id
  returning t.last_seq into number;
  return case when number > ticket.last_seq then number end;
end
$$;

create function private.assign_ticket(ticket_id uuid, employee uuid, team text) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket_as_staff(assign_ticket.ticket_id);
  wanted_team constant text := nullif(private.trimmed(assign_ticket.team), '');
  problems jsonb := '[]';
  number bigint;
begin
  if assign_ticket.employee is not null and not exists (
    select from public.profiles p
    where p.user_id = assign_ticket.employee and p.org_id = ticket.handling_org_id
      and p.role in ('employee', 'admin')
  ) then
    problems := problems || private.problem(
      'employee', 'This is not a member of the staff of the organization that handles the ticket.'
    );
  end if;
  if char_length(wanted_team) > 200 then
    problems := problems || private.problem('team', 'The team is longer than 200 characters.');
  end if;
  perform private.refuse_invalid(problems);
  update public.tickets t
  set assigned_employee = assign_ticket.employee, assigned_team = wanted_team
  where t.id = ticket.id
  returning t.last_seq into number;
  return case when number > ticket.last_seq then number end;
end
$$;

-- Never backwards, never beyond what there is.
create function private.mark_ticket_read(ticket_id uuid, seq bigint) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  me constant uuid := (select auth.uid());
  ticket public.tickets;
  number bigint;
begin
  update public.ticket_reads r
  set last_read_seq = greatest(r.last_read_seq, least(mark_ticket_read.seq, t.last_seq))
  from public.tickets t
  where r.user_id = me and r.ticket_id = mark_ticket_read.ticket_id and t.id = r.ticket_id
  returning r.last_read_seq into number;
  if number is null then
    -- Locked like every write: the foreign key of a first read would share-lock the row.
    ticket := private.lock_ticket(mark_ticket_read.ticket_id);
    insert into public.ticket_reads as r (user_id, ticket_id, last_read_seq)
    values (me, ticket.id, least(greatest(mark_ticket_read.seq, 0), ticket.last_seq))
    on conflict on constraint ticket_reads_pkey
      do update set last_read_seq = greatest(r.last_read_seq, excluded.last_read_seq)
    returning r.last_read_seq into number;
  end if;
  return number;
end
$$;

create function public.close_ticket(ticket_id uuid, request_id uuid, reason text default null)
returns jsonb
language plpgsql set search_path = ''
as $$
declare
  wanted_reason constant text := nullif(private.trimmed(reason), '');
  problems jsonb := '[]';
  number bigint;
begin
  perform private.require_user();
  if request_id is null then
    problems := problems || private.problem('request_id', 'The request id is missing.');
  end if;
  if char_length(wanted_reason) > 1000 then
    problems := problems || private.problem('reason', 'The reason is longer than 1000 characters.');
  end if;
  perform private.refuse_invalid(problems);
  -- A statement of its own, here and below: change_json would not see what its own statement does.
  number := private.close_ticket(ticket_id, request_id, wanted_reason);
  return private.change_json(ticket_id, number);
end
$$;

create function public.reopen_ticket(ticket_id uuid, request_id uuid) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  number bigint;
begin
  perform private.require_user();
  if request_id is null then
    perform private.refuse_invalid(
      private.problem('request_id', 'The request id is missing.')
    );
  end if;
  number := private.reopen_ticket(ticket_id, request_id);
  return private.change_json(ticket_id, number);
end
$$;

create function public.set_ticket_status(ticket_id uuid, status text) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  number bigint;
begin
  perform private.require_user();
  number := private.set_ticket_status(ticket_id, status);
  return private.change_json(ticket_id, number);
end
$$;

create function public.assign_ticket(ticket_id uuid, employee uuid, team text) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  number bigint;
begin
  perform private.require_user();
  number := private.assign_ticket(ticket_id, employee, team);
  return private.change_json(ticket_id, number);
end
$$;

create function public.mark_ticket_read(ticket_id uuid, seq bigint) returns jsonb
language plpgsql set search_path = ''
as $$
begin
  perform private.require_user();
  if not exists (select from public.tickets t where t.id = mark_ticket_read.ticket_id) then
    perform private.refuse_unknown_ticket();
  end if;
  if seq is null then
    perform private.refuse_invalid(private.problem('seq', 'The number is missing.'));
  end if;
  return jsonb_build_object('last_read_seq', private.mark_ticket_read(ticket_id, seq));
end
$$;

comment on function public.create_ticket is
  'Opens a ticket; the id is the client''s, and repeating it with the same content changes nothing.';
comment on function public.send_message is
  'Writes in a ticket; the id is the client''s, and repeating it with the same content changes nothing.';
comment on function public.edit_ticket is
  'Changes what is not null of an open ticket; repeating a request_id changes nothing more.';
comment on function public.close_ticket is
  'Closes a ticket; repeating a request_id changes nothing and returns the event it made.';
comment on function public.reopen_ticket is
  'Reopens a ticket within its organization''s time; repeating a request_id changes nothing.';
comment on function public.set_ticket_status is 'Staff: sets open, in-progress or closed.';
comment on function public.assign_ticket is 'Staff: assigns to an employee and a team; null is nobody.';
comment on function public.mark_ticket_read is
  'Remembers how far the caller has read; never backwards, never beyond the last event.';

revoke all on function private.ticket_problems(text, text, text)
  from public, anon, authenticated, service_role;
revoke all on function private.seen_request(uuid, uuid, text, text, bytea)
  from public, anon, authenticated, service_role;
revoke all on function private.keep_request(uuid, bigint, uuid, bytea)
  from public, anon, authenticated, service_role;
revoke all on function private.close_ticket(uuid, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function private.reopen_ticket(uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.lock_ticket_as_staff(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.set_ticket_status(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function private.assign_ticket(uuid, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function private.mark_ticket_read(uuid, bigint)
  from public, anon, authenticated, service_role;
grant execute on function private.ticket_problems(text, text, text) to authenticated, service_role;
grant execute on function private.seen_request(uuid, uuid, text, text, bytea)
  to authenticated, service_role;
grant execute on function private.keep_request(uuid, bigint, uuid, bytea)
  to authenticated, service_role;
grant execute on function private.close_ticket(uuid, uuid, text) to authenticated, service_role;
grant execute on function private.reopen_ticket(uuid, uuid) to authenticated, service_role;
grant execute on function private.set_ticket_status(uuid, text) to authenticated, service_role;
grant execute on function private.assign_ticket(uuid, uuid, text) to authenticated, service_role;
grant execute on function private.mark_ticket_read(uuid, bigint) to authenticated, service_role;

revoke all on function public.create_ticket(uuid, text, text, uuid, text, jsonb, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.send_message(uuid, uuid, text, text, uuid, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.edit_ticket(uuid, text, text, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.close_ticket(uuid, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.reopen_ticket(uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.set_ticket_status(uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.assign_ticket(uuid, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.mark_ticket_read(uuid, bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.create_ticket(uuid, text, text, uuid, text, jsonb, uuid)
  to authenticated, service_role;
grant execute on function public.send_message(uuid, uuid, text, text, uuid, jsonb)
  to authenticated, service_role;
grant execute on function public.edit_ticket(uuid, text, text, text, uuid) to authenticated, service_role;
grant execute on function public.close_ticket(uuid, uuid, text) to authenticated, service_role;
grant execute on function public.reopen_ticket(uuid, uuid) to authenticated, service_role;
grant execute on function public.set_ticket_status(uuid, text) to authenticated, service_role;
grant execute on function public.assign_ticket(uuid, uuid, text) to authenticated, service_role;
grant execute on function public.mark_ticket_read(uuid, bigint) to authenticated, service_role;
