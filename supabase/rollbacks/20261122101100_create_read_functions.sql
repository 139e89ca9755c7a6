-- Without the functions that read.

drop function public.ticket_counts();
drop function public.ticket_messages_before(uuid, bigint, integer);
drop function public.ticket_events_before(uuid, bigint, integer);
drop function public.ticket_events_after(uuid, bigint, integer);
drop function public.ticket_thread(uuid, integer, integer);
drop function private.events_before(uuid, bigint, integer, boolean);
drop function private.events_json(public.ticket_events[], boolean);
drop function private.messages_before(uuid, bigint, integer);
drop function private.visible_ticket(uuid);
