-- Nothing can be attached any more; what is attached stays.

drop function private.complete_ticket(uuid, jsonb, uuid);
drop function private.complete_message(uuid, jsonb);
drop function private.attach(jsonb, uuid, uuid, uuid);
drop function private.attachments_key(jsonb);
drop function private.attachments_problems(jsonb);
drop function private.attachments_problem(integer, text);
drop function private.attachment_problem(jsonb);
