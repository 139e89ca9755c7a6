-- Without the functions that tell of uploads.

drop function public.orphaned_uploads(integer);
drop function public.attachment_limits();
drop function private.orphaned_uploads(integer);
drop function private.attachment_limits();
