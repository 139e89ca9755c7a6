-- Changes are no longer numbered: readers see nothing new until it is applied again.

drop trigger customer_tickets_record_message on public.ticket_messages;
drop trigger customer_tickets_place_message on public.ticket_messages;
drop trigger customer_tickets_record_changes on public.tickets;
drop trigger customer_tickets_number_change on public.tickets;
drop trigger customer_tickets_record_opening on public.tickets;
drop trigger customer_tickets_open on public.tickets;
drop function private.record_message();
drop function private.place_message();
drop function private.record_changes();
drop function private.number_change();
drop function private.ticket_changes(public.tickets, public.tickets);
drop function private.assignment(uuid, text);
drop function private.record_opening();
drop function private.ticket_hash(text, text, text, uuid);
drop function private.open_ticket();
drop function private.lock_ticket(uuid);
drop function private.actor(uuid, uuid);
