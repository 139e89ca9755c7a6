-- Without the functions that write.

drop function public.mark_ticket_read(uuid, bigint);
drop function public.assign_ticket(uuid, uuid, text);
drop function public.set_ticket_status(uuid, text);
drop function public.reopen_ticket(uuid, uuid);
drop function public.close_ticket(uuid, uuid, text);
drop function public.edit_ticket(uuid, text, text, text, uuid);
drop function public.send_message(uuid, uuid, text, text, uuid, jsonb);
drop function public.create_ticket(uuid, text, text, uuid, text, jsonb, uuid);
drop function private.mark_ticket_read(uuid, bigint);
drop function private.assign_ticket(uuid, uuid, text);
drop function private.set_ticket_status(uuid, text);
drop function private.lock_ticket_as_staff(uuid);
drop function private.reopen_ticket(uuid, uuid);
drop function private.close_ticket(uuid, uuid, text);
drop function private.keep_request(uuid, bigint, uuid, bytea);
drop function private.seen_request(uuid, uuid, text, text, bytea);
drop function private.ticket_problems(text, text, text);
