-- Who hears what. `ticket:<id>` and `ticket:<id>:presence`: whoever sees the ticket. `customer:<id>`:
-- that user. Users send on the presence topic only (typing, who is here): nobody can forge an event.

-- Asked once per join, and about the topic alone: the rows that the server probes with have no
-- event, no payload and private = false. The form is tested first; a cast of a malformed one raises.
create function private.can_hear(topic text) returns boolean
language plpgsql stable security definer set search_path = ''
as $$
declare
  parts constant text[] := regexp_match(
    topic,
    '^(ticket|customer):([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(:presence)?$'
  );
begin
  if parts is null then
    return false;
  elsif parts[1] = 'customer' then
    return parts[3] is null and parts[2]::uuid = (select auth.uid());
  end if;
  return exists (
    select from public.tickets t
    where t.id = parts[2]::uuid
      and (
        t.user_id = (select auth.uid())
        or t.handling_org_id in (select private.staff_org_ids())
      )
  );
end
$$;
revoke all on function private.can_hear(text) from public, anon, authenticated, service_role;
grant execute on function private.can_hear(text) to authenticated, service_role;

create policy "People of a ticket hear it, customers hear of their own"
  on realtime.messages for select to authenticated
  using (
    (
      extension = 'broadcast'
      or (extension = 'presence' and (select realtime.topic()) like 'ticket:%:presence')
    )
    and (select private.can_hear((select realtime.topic())))
  );
create policy "People of a ticket say that they are there and typing"
  on realtime.messages for insert to authenticated
  with check (
    extension in ('broadcast', 'presence')
    and (select realtime.topic()) like 'ticket:%:presence'
    and (select private.can_hear((select realtime.topic())))
  );
