-- The private bucket of attachments. Users upload below a folder of their own, under
-- `<user id>/<attachment id>`; they read that, and the files of what they see. Nobody overwrites,
-- and what is attached to something nobody deletes through the API.

-- A bucket of that name stays as it is: its limits are an administrator's to change, and the tables
-- of storage outlive a reset of the database.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values (
  'ticket-attachments', 'ticket-attachments', false, 26214400,
  array[
    'image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/heic',
    'application/pdf', 'text/plain', 'text/csv', 'text/markdown',
    'application/json', 'application/xml', 'text/xml',
    'application/zip', 'application/x-zip-compressed', 'application/gzip', 'application/x-gzip',
    'application/msword', 'application/vnd.ms-excel', 'application/vnd.ms-powerpoint',
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
    'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    'application/vnd.openxmlformats-officedocument.presentationml.presentation',
    'application/vnd.oasis.opendocument.text', 'application/vnd.oasis.opendocument.spreadsheet',
    'audio/mpeg', 'video/mp4', 'application/octet-stream'
  ]
)
on conflict do nothing;

-- Whether the caller may remove this object of their own. The object is locked first, and only then
-- looked for among the attachments (volatile: with eyes of its own): whoever attaches it locks it
-- too, so that one of the two waits. Definer: rows that the caller no longer sees count as well.
create function private.may_remove_upload(object_key text) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if not starts_with(object_key, (select auth.uid()) || '/') then
    return false;
  end if;
  perform from storage.objects o
  where o.bucket_id = 'ticket-attachments' and o.name = may_remove_upload.object_key
  for update;
  return not exists (
    select from public.ticket_attachments a where a.object_key = may_remove_upload.object_key
  );
end
$$;
revoke all on function private.may_remove_upload(text)
  from public, anon, authenticated, service_role;
grant execute on function private.may_remove_upload(text) to authenticated, service_role;

create policy "Users upload attachments below their own folder"
  on storage.objects for insert to authenticated
  with check (
    bucket_id = 'ticket-attachments'
    and name ~ '^[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    and split_part(name, '/', 1) = (select auth.uid())::text
  );
create policy "Users see attachments of their own and of what they see"
  on storage.objects for select to authenticated
  using (
    bucket_id = 'ticket-attachments'
    and (
      split_part(name, '/', 1) = (select auth.uid())::text
      or exists (select from public.ticket_attachments a where a.object_key = objects.name)
    )
  );
create policy "Users delete what they uploaded until it is attached"
  on storage.objects for delete to authenticated
  using (
    bucket_id = 'ticket-attachments'
    and split_part(name, '/', 1) = (select auth.uid())::text
    and private.may_remove_upload(name)
  );
