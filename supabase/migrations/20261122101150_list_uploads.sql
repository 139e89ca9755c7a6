-- What a client asks about files: what the bucket takes, and which uploads of the caller's own belong
-- to nothing, because a form was left or a connection broke.

-- Definer: users may not read buckets.
create function private.attachment_limits() returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('max_bytes', b.file_size_limit, 'content_types', b.allowed_mime_types)
    from storage.buckets b
    where b.id = 'ticket-attachments'
  );
end
$$;

-- Definer: rows that the caller no longer sees count as well.
create function private.orphaned_uploads(older_than_seconds integer) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  folder constant text := (select auth.uid()) || '/';
begin
  return (
    select jsonb_build_object('uploads', coalesce(jsonb_agg(
      jsonb_build_object(
        'object_key', x.name, 'size_bytes', x.metadata -> 'size', 'created_at', x.created_at
      )
      order by x.created_at, x.name
    ), '[]'))
    from (
      select o.name, o.metadata, o.created_at
      from storage.objects o
      where o.bucket_id = 'ticket-attachments' and o.name like folder || '%'
        and o.created_at <= clock_timestamp() - make_interval(secs => older_than_seconds)
        and not exists (select from public.ticket_attachments a where a.object_key = o.name)
      order by o.created_at, o.name
      limit 1000
    ) x
  );
end
$$;

create function public.attachment_limits() returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  perform private.require_user();
  return private.attachment_limits();
end
$$;

create function public.orphaned_uploads(older_than_seconds integer default 3600) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  perform private.require_user();
  return private.orphaned_uploads(greatest(coalesce(older_than_seconds, 3600), 0));
end
$$;

comment on function public.attachment_limits is
  'What a file may be: bytes and content types; null is anything.';
comment on function public.orphaned_uploads is
  'The oldest 1,000 of the caller''s own uploads, of some age, that are attached to nothing.';

revoke all on function private.attachment_limits() from public, anon, authenticated, service_role;
revoke all on function private.orphaned_uploads(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.attachment_limits() from public, anon, authenticated, service_role;
revoke all on function public.orphaned_uploads(integer)
  from public, anon, authenticated, service_role;
grant execute on function private.attachment_limits() to authenticated, service_role;
grant execute on function private.orphaned_uploads(integer) to authenticated, service_role;
grant execute on function public.attachment_limits() to authenticated, service_role;
grant execute on function public.orphaned_uploads(integer) to authenticated, service_role;
