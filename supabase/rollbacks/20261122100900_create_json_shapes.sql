-- Without the JSON shapes.

drop function private.sent_json(uuid);
drop function private.opened_json(uuid);
drop function private.change_json(uuid, bigint);
drop function private.can_json(public.tickets);
drop function private.permission_json(text, timestamptz);
drop function private.rate_until(public.ticket_feedback);
drop function private.feedback_of(uuid);
drop function private.reopen_until(public.tickets);
drop function private.organization_json(uuid);
drop function private.event_json(public.ticket_events, jsonb);
drop function private.message_json(public.ticket_messages, jsonb);
drop function private.draft_json(public.ticket_drafts);
drop function private.attachments_of_draft(uuid);
drop function private.attachments_of_messages(uuid[]);
drop function private.attachments_of_description(uuid);
drop function private.attachment_json(public.ticket_attachments);
drop function private.ticket_json(public.tickets);
