-- Changes are no longer announced; live readers find them by their slow timer.

drop trigger customer_tickets_ring_doorbells on public.ticket_events;
drop function private.ring_doorbells();
