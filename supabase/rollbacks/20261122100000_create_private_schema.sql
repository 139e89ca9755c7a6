-- Without the helpers. Refuses, as schemas do, while anything else is in schema private.

drop function private.require_user();
drop function private.is_backend();
drop function private.refuse_used_id(text);
drop function private.refuse_closed();
drop function private.refuse_unknown_ticket();
drop function private.refuse_invalid(jsonb);
drop function private.problem(text, text);
drop function private.refuse(text, text, text, text);
drop function private.trimmed(text);
drop schema private;
