-- Every public change of a ticket takes the next number and leaves an event, in one trigger path.
-- The ticket's row lock is held until commit, so numbers are in commit order without a gap, and a
-- reader that has seen n can never be overtaken. Who may write is decided here on the locked row;
-- a policy sees the statement's older snapshot, behind which a ticket may have been closed.
-- All definer: nobody who causes an event may write one.

-- Who acts, as seen by this ticket: whoever acts in their own ticket is its customer, employed or
-- not. A backend acts for the author it names, or as the system.
create function private.actor(
  customer uuid, author uuid default null, out id uuid, out role text, out name text
)
language plpgsql stable security definer set search_path = ''
as $$
begin
  select p.user_id, case when p.user_id = actor.customer then 'customer' else p.role end,
    p.display_name
  into actor.id, actor.role, actor.name
  from public.profiles p
  where p.user_id = coalesce((select auth.uid()), actor.author);
  if not found then
    actor.id := null;
    actor.role := 'system';
    actor.name := 'System';
  end if;
end
$$;

-- The ticket's row, locked until commit, for whoever may see it. `no key update` is the counter's own lock:
-- taken first, it keeps the share locks of foreign keys from meeting the counter's update, which
-- makes multixacts and, with rollbacks, the error XX000.
create function private.lock_ticket(ticket_id uuid) returns public.tickets
language plpgsql security definer set search_path = ''
as $$
declare
  ticket public.tickets;
begin
  select t.* into ticket
  from public.tickets t
  where t.id = lock_ticket.ticket_id
    and (
      t.user_id = (select auth.uid())
      or t.handling_org_id in (select private.staff_org_ids())
      or private.is_backend()
    )
  for no key update;
  if not found then
    perform private.refuse_unknown_ticket();
  end if;
  return ticket;
end
$$;

-- A new ticket starts at 1. What a client sent for the rest is not listened to.
create function private.open_ticket() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if (select auth.uid()) is not null then
    new.user_id := (select auth.uid());
    new.status := 'open';
  end if;
  new.subject := private.trimmed(new.subject);
  if new.status = 'closed' and new.closed_at is null then
    new.closed_at := clock_timestamp();
  end if;
  new.last_seq := 1;
  new.last_staff_seq := case when (private.actor(new.user_id, new.user_id)).id = new.user_id then 0 else 1 end;
  new.changed_in := pg_current_xact_id()::text::bigint;
  new.created_at := clock_timestamp();
  new.updated_at := new.created_at;
  return new;
end
$$;

create function private.ticket_hash(
  subject text, description text, priority text, handling_org_id uuid
) returns bytea
language plpgsql immutable parallel safe set search_path = ''
as $$
begin
  return sha256(convert_to(
    jsonb_build_array(subject, description, priority, handling_org_id)::text, 'UTF8'
  ));
end
$$;

create function private.record_opening() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  who constant record := private.actor(new.user_id, new.user_id);
begin
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, request_hash, created_at
  )
  values (
    new.id, 1, 'created', who.id, who.role, who.name,
    private.ticket_hash(new.subject, new.description, new.priority, new.handling_org_id),
    new.created_at
  );
  return null;
end
$$;

create function private.assignment(employee uuid, team text) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'team', assignment.team,
    'employee_id', assignment.employee,
    'employee_name',
      (select p.display_name from public.profiles p where p.user_id = assignment.employee)
  );
end
$$;

-- What one update of a ticket did, an event each. Descriptions are named, never quoted.
create function private.ticket_changes(before public.tickets, after public.tickets)
returns table (kind text, data jsonb)
language plpgsql stable set search_path = ''
as $$
declare
  fields constant text[] := array_remove(array[
    case when before.subject is distinct from after.subject then 'subject' end,
    case when before.priority is distinct from after.priority then 'priority' end,
    case when before.description is distinct from after.description then 'description' end
  ], null);
begin
  if fields <> '{}' then
    kind := 'edited';
    select jsonb_build_object('fields', to_jsonb(fields),
        'from', coalesce(jsonb_object_agg(c.field, c.old_value), '{}'),
        'to', coalesce(jsonb_object_agg(c.field, c.new_value), '{}'))
    into data
    from (
      values ('subject', before.subject, after.subject), ('priority', before.priority, after.priority)
    ) as c (field, old_value, new_value)
    where c.field = any (fields);
    return next;
  end if;
  if (before.assigned_employee, before.assigned_team)
    is distinct from (after.assigned_employee, after.assigned_team)
  then
    kind := 'assigned';
    data := jsonb_build_object(
      'from', private.assignment(before.assigned_employee, before.assigned_team),
      'to', private.assignment(after.assigned_employee, after.assigned_team)
    );
    return next;
  end if;
  if before.status = after.status then
    return;
  elsif after.status = 'closed' then
    kind := 'closed';
    data := jsonb_build_object('reason', after.close_reason, 'from', before.status);
  else
    kind := case before.status when 'closed' then 'reopened' else 'status' end;
    data := jsonb_build_object('from', before.status, 'to', after.status);
  end if;
  return next;
end
$$;

-- A change of the ticket itself takes its numbers in the same row version.
create function private.number_change() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  changes bigint;
begin
  new.subject := private.trimmed(new.subject);
  if old.status <> 'closed' and new.status = 'closed' then
    new.closed_at := clock_timestamp();
  elsif new.status <> 'closed' then
    new.closed_at := null;
    new.close_reason := null;
  elsif (old.subject, old.description, old.priority)
    is distinct from (new.subject, new.description, new.priority)
  then
    perform private.refuse_closed();
  end if;
  select count(*) into changes from private.ticket_changes(old, new);
  if changes > 0 then
    new.last_seq := old.last_seq + changes;
    new.updated_at := clock_timestamp();
    new.changed_in := pg_current_xact_id()::text::bigint;
    if (private.actor(new.user_id)).id is distinct from new.user_id then
      new.last_staff_seq := new.last_seq;
    end if;
  end if;
  return new;
end
$$;

create function private.record_changes() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  who constant record := private.actor(new.user_id);
begin
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, data, created_at
  )
  select new.id, old.last_seq + c.ordinality, c.kind, who.id, who.role, who.name, c.data,
    new.updated_at
  from private.ticket_changes(old, new) with ordinality as c (kind, data, ordinality);
  return null;
end
$$;

-- Locks the ticket, then decides and fills in what the author does not choose.
create function private.place_message() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  ticket constant public.tickets := private.lock_ticket(new.ticket_id);
  who constant record := private.actor(ticket.user_id, new.author_id);
  problems jsonb := '[]';
begin
  if ticket.status = 'closed' then
    perform private.refuse_closed();
  end if;
  if new.message_type = 'internal' and not private.is_backend()
    and (ticket.handling_org_id in (select private.staff_org_ids())) is not true
  then
    problems := problems || private.problem('message_type', 'Only staff write internal notes.');
  end if;
  -- A public answer to an internal note would tell of the note.
  if new.reply_to is not null and not exists (
    select from public.ticket_messages m
    where m.id = new.reply_to and m.ticket_id = new.ticket_id
      and (m.message_type = 'public' or new.message_type = 'internal')
  ) then
    problems := problems || private.problem('reply_to', 'This is not a message of the ticket.');
  end if;
  perform private.refuse_invalid(problems);
  new.author_id := who.id;
  new.author_role := who.role;
  new.author_name := who.name;
  new.created_at := clock_timestamp();
  new.place := ticket.last_seq + case new.message_type when 'public' then 1 else 0 end;
  return new;
end
$$;

-- The number is taken after the insert: before it, an ignored duplicate would leave a hole.
create function private.record_message() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  number bigint;
begin
  update public.tickets t
  set last_seq = t.last_seq + 1,
    last_staff_seq =
      case when new.author_id = t.user_id then t.last_staff_seq else t.last_seq + 1 end,
    last_message_at = new.created_at,
    changed_in = pg_current_xact_id()::text::bigint,
    updated_at = new.created_at
  where t.id = new.ticket_id
  returning t.last_seq into number;
  if number <> new.place then
    -- One statement inserted several messages of this ticket, and all were placed before any was counted.
    update public.ticket_messages m set place = number where m.id = new.id;
  end if;
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, data, created_at
  )
  values (
    new.ticket_id, number, 'message', new.author_id, new.author_role, new.author_name,
    jsonb_build_object('message_id', new.id), new.created_at
  );
  return null;
end
$$;

revoke all on function private.actor(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.lock_ticket(uuid) from public, anon, authenticated, service_role;
revoke all on function private.open_ticket() from public, anon, authenticated, service_role;
revoke all on function private.ticket_hash(text, text, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.record_opening() from public, anon, authenticated, service_role;
revoke all on function private.assignment(uuid, text) from public, anon, authenticated, service_role;
revoke all on function private.ticket_changes(public.tickets, public.tickets)
  from public, anon, authenticated, service_role;
revoke all on function private.number_change() from public, anon, authenticated, service_role;
revoke all on function private.record_changes() from public, anon, authenticated, service_role;
revoke all on function private.place_message() from public, anon, authenticated, service_role;
revoke all on function private.record_message() from public, anon, authenticated, service_role;

-- What the API functions, which run as their caller, need of it.
grant execute on function private.actor(uuid, uuid) to authenticated, service_role;
grant execute on function private.lock_ticket(uuid) to authenticated, service_role;
grant execute on function private.ticket_hash(text, text, text, uuid) to authenticated, service_role;

create trigger customer_tickets_open
  before insert on public.tickets
  for each row execute function private.open_ticket();
create trigger customer_tickets_record_opening
  after insert on public.tickets
  for each row execute function private.record_opening();
-- By column, so that the counter's own updates pass by.
create trigger customer_tickets_number_change
  before update of subject, description, status, priority, assigned_team, assigned_employee, close_reason
  on public.tickets
  for each row execute function private.number_change();
create trigger customer_tickets_record_changes
  after update of subject, description, status, priority, assigned_team, assigned_employee, close_reason
  on public.tickets
  for each row when (old.last_seq is distinct from new.last_seq)
  execute function private.record_changes();
create trigger customer_tickets_place_message
  before insert on public.ticket_messages
  for each row execute function private.place_message();
create trigger customer_tickets_record_message
  after insert on public.ticket_messages
  for each row when (new.message_type = 'public')
  execute function private.record_message();
