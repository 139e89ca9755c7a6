-- How uploaded files become attachments of a new ticket or message, in the transaction that makes it.
-- What a client says of a file is checked against the uploaded one, which nobody can remove meanwhile.

create function private.attachment_problem(item jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  file_name constant text := private.trimmed(item ->> 'file_name');
begin
  return case
    when jsonb_typeof(item) is distinct from 'object' then 'it is not an object.'
    when jsonb_typeof(item -> 'id') is distinct from 'string'
      or item ->> 'id' !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      then 'the id is not a UUID in lower case.'
    when jsonb_typeof(item -> 'file_name') is distinct from 'string' or file_name = ''
      then 'the file name is missing.'
    when char_length(file_name) > 255 then 'the file name is longer than 255 characters.'
    when file_name in ('.', '..') or file_name ~ '[\u0001-\u001f\u007f-\u009f/\\]'
      then 'the file name is a folder, or has slashes or control characters.'
    when jsonb_typeof(item -> 'content_type') is distinct from 'string'
      or char_length(item ->> 'content_type') not between 1 and 127
      then 'the content type does not have 1 to 127 characters.'
    when jsonb_typeof(item -> 'size_bytes') is distinct from 'number'
      or item ->> 'size_bytes' !~ '^[0-9]{1,15}$'
      then 'the size is not a number of bytes.'
    when jsonb_typeof(item -> 'sha256') is distinct from 'string'
      or item ->> 'sha256' !~ '^[0-9a-f]{64}$'
      then 'the SHA-256 is not 64 hex digits in lower case.'
  end;
end
$$;

-- Says which by its place in the list, from 1, and never quotes a name.
create function private.attachments_problem(place integer, message text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return private.problem('attachments', format('Attachment %s: %s', place, message));
end
$$;

-- What is wrong with a list of attachments as such; the uploaded files are not looked at.
create function private.attachments_problems(attachments jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_typeof(attachments) is distinct from 'array' then
    return private.problem('attachments', 'The attachments are not a list.');
  elsif jsonb_array_length(attachments) > 20 then
    return private.problem('attachments', 'There are more than 20 attachments.');
  end if;
  return (
    select coalesce(
      jsonb_agg(private.attachments_problem(x.place, x.message) -> 0 order by x.place)
        filter (where x.message is not null),
      '[]'
    )
    from (
      select a.place::integer, coalesce(
        private.attachment_problem(a.item),
        case when row_number() over (partition by a.item -> 'id' order by a.place) > 1
          then 'it is in the list twice.' end
      ) as message
      from jsonb_array_elements(attachments) with ordinality as a (item, place)
    ) x
  );
end
$$;

-- What a repetition must have in common with the first call: the same files in the same order.
create function private.attachments_key(attachments jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return (
    select coalesce(
      jsonb_agg(jsonb_build_array(a.item -> 'id', a.item -> 'sha256') order by a.place), '[]'
    )
    from jsonb_array_elements(attachments) with ordinality as a (item, place)
  );
end
$$;

-- Attaches a checked list of the caller's own uploads to exactly one thing, but for what a draft has
-- already. Definer, and for no API
-- user to call: the callers below know that the thing is the caller's.
create function private.attach(
  attachments jsonb, ticket_id uuid default null, message_id uuid default null,
  draft_id uuid default null
) returns void
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
  problems jsonb := '[]';
  item jsonb;
  place integer;
  size text;
begin
  for item, place in
    select a.item, a.place
    from jsonb_array_elements(attachments) with ordinality as a (item, place)
    where not exists (
      select from public.ticket_attachments x
      where x.draft_id = attach.draft_id and x.id::text = a.item ->> 'id'
    )
    order by a.place
  loop
    select o.metadata ->> 'size' into size
    from storage.objects o
    where o.bucket_id = 'ticket-attachments' and o.name = me || '/' || (item ->> 'id')
    for share;
    if not found then
      problems := problems || private.attachments_problem(place, 'nothing has been uploaded for it.');
    elsif size is distinct from item ->> 'size_bytes' then
      problems := problems
        || private.attachments_problem(place, 'the uploaded file has another size.');
    else
      insert into public.ticket_attachments (
        id, user_id, ticket_id, message_id, draft_id, place, file_name, content_type, size_bytes,
        sha256
      )
      values (
        (item ->> 'id')::uuid, me, attach.ticket_id, attach.message_id, attach.draft_id, place,
        private.trimmed(item ->> 'file_name'), item ->> 'content_type',
        (item ->> 'size_bytes')::bigint, item ->> 'sha256'
      )
      on conflict do nothing;
      if not found then
        problems := problems
          || private.attachments_problem(place, 'its id has been used for something else.');
      end if;
    end if;
  end loop;
  perform private.refuse_invalid(problems);
end
$$;

-- Definer, as are those below: nobody writes attachments or events directly. Each does only what
-- belongs to a row that the caller made in this very transaction.
create function private.complete_message(message_id uuid, attachments jsonb) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  message public.ticket_messages;
begin
  select m.* into message from public.ticket_messages m
  where m.id = complete_message.message_id and m.author_id = (select auth.uid())
    and m.created_at >= now();
  if found and attachments <> '[]' then
    perform private.attach(attachments, message.ticket_id, message.id);
    update public.ticket_events e
    set data = e.data || jsonb_build_object('attachments', jsonb_array_length(attachments))
    where e.ticket_id = message.ticket_id and e.seq = message.seq;
  end if;
end
$$;

create function private.complete_ticket(
  ticket_id uuid, attachments jsonb, follow_up_of uuid default null
) returns void
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
  said constant jsonb := jsonb_strip_nulls(jsonb_build_object(
    'attachments', nullif(jsonb_array_length(attachments), 0),
    'follow_up_of', complete_ticket.follow_up_of
  ));
begin
  if said = '{}' or not exists (
    select from public.tickets t
    where t.id = complete_ticket.ticket_id and t.user_id = me and t.created_at >= now()
  ) then
    return;
  end if;
  if complete_ticket.follow_up_of is not null then
    -- Locked as every write locks, before the foreign key does it in its own way.
    perform from public.tickets t
    where t.id = complete_ticket.follow_up_of and t.user_id = me and t.status = 'closed'
    for no key update;
    if not found then
      perform private.refuse_invalid(
        private.problem('follow_up_of', 'This is not a closed ticket of your own.')
      );
    end if;
    update public.tickets t set follow_up_of = complete_ticket.follow_up_of
    where t.id = complete_ticket.ticket_id;
  end if;
  perform private.attach(attachments, complete_ticket.ticket_id);
  update public.ticket_events e set data = e.data || said
  where e.ticket_id = complete_ticket.ticket_id and e.seq = 1;
end
$$;

revoke all on function private.attachment_problem(jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_problem(integer, text)
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_problems(jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_key(jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.attach(jsonb, uuid, uuid, uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.complete_message(uuid, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.complete_ticket(uuid, jsonb, uuid)
  from public, anon, authenticated, service_role;
grant execute on function private.attachment_problem(jsonb) to authenticated, service_role;
grant execute on function private.attachments_problem(integer, text) to authenticated, service_role;
grant execute on function private.attachments_problems(jsonb) to authenticated, service_role;
grant execute on function private.attachments_key(jsonb) to authenticated, service_role;
grant execute on function private.complete_message(uuid, jsonb) to authenticated, service_role;
grant execute on function private.complete_ticket(uuid, jsonb, uuid) to authenticated, service_role;
