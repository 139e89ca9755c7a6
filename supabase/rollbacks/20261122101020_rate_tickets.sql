-- Nobody rates any more; the ratings stay.

drop function public.rate_ticket(uuid, integer, uuid, text);
drop function private.rate_ticket(uuid, integer, text, uuid);
