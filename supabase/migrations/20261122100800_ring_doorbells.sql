-- Each event rings two private topics, the ticket's and its customer's list. The broadcast says
-- only that there is something to fetch; readers fetch it from ticket_events.

-- Definer: realtime.send runs as its caller, who may not write to these topics; it would lose the
-- broadcast without a word. UTC: the table's partitions are days of UTC, stamped with local time.
-- A broadcast never fails the write. A failure is a warning in the log, to be counted by its first
-- word: customer_tickets.doorbell_failed here, WarnSendingBroadcastMessage from realtime.send.
create function private.ring_doorbells() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
  customer uuid;
  payload constant jsonb :=
    jsonb_build_object('ticket_id', new.ticket_id, 'seq', new.seq, 'kind', new.kind);
begin
  select t.user_id into customer from public.tickets t where t.id = new.ticket_id;
  perform realtime.send(payload, 'event', 'ticket:' || new.ticket_id, true);
  perform realtime.send(payload, 'event', 'customer:' || customer, true);
  return null;
exception when others then
  raise warning 'customer_tickets.doorbell_failed ticket % event %: %', new.ticket_id, new.seq, sqlstate;
  return null;
end
$$;
revoke all on function private.ring_doorbells() from public, anon, authenticated, service_role;

create trigger customer_tickets_ring_doorbells
  after insert on public.ticket_events
  for each row execute function private.ring_doorbells();
