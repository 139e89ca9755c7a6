-- Without the functions for whoever follows many tickets.

drop function public.ticket_changes(bigint, uuid, bigint, integer);
drop function public.ticket_heads(uuid[]);
