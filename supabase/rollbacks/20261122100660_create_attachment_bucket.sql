-- Nobody reaches attachments any more, but a backend. An empty bucket goes; one with files stays, for
-- only the storage API deletes files.

drop policy "Users delete what they uploaded until it is attached" on storage.objects;
drop policy "Users see attachments of their own and of what they see" on storage.objects;
drop policy "Users upload attachments below their own folder" on storage.objects;
drop function private.may_remove_upload(text);

-- Without it, storage refuses every delete by SQL.
set local storage.allow_delete_query = 'true';
delete from storage.buckets b
where b.id = 'ticket-attachments'
  and not exists (select from storage.objects o where o.bucket_id = b.id);
