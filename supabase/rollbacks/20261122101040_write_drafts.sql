-- Nobody saves or submits drafts any more; what is saved stays.

drop function public.submit_draft(uuid, integer);
drop function public.discard_draft(uuid);
drop function public.save_draft(uuid, integer, uuid, uuid, text, text, text, text, uuid, jsonb);
drop function private.submitted(uuid);
drop function private.finish_draft(uuid);
drop function private.discard_draft(uuid);
drop function private.save_draft(public.ticket_drafts, jsonb);
drop function private.arrange_attachments(uuid, jsonb);
drop function private.known_attachments(uuid, jsonb);
drop function private.insert_draft(public.ticket_drafts);
drop function private.lock_draft(uuid);
drop function private.draft_problems(public.ticket_drafts);
drop function private.refuse_changed_draft();
drop function private.refuse_unknown_draft();
