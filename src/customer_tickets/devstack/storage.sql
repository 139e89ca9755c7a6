-- Schema storage: buckets and the objects in them, loaded once into every template database by the
-- superuser, after the roles exist. The columns, grants and functions are those of hosted projects,
-- so that policies and seeds written for them work. The files themselves are the storage server's.

do $$
begin
  -- Roles belong to the whole server, this file to one database of it.
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_storage_admin') then
    create role supabase_storage_admin nologin noinherit;
  end if;
end
$$;

-- The owner of a table may create policies on it: migrations (role postgres) must be able to.
grant supabase_storage_admin to postgres;

create schema storage;
grant usage on schema storage to anon, authenticated, service_role, supabase_storage_admin;
-- Migrations may let roles of their own in.
grant usage on schema storage to postgres with grant option;

create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');

create table storage.buckets (
  id text primary key,
  name text not null,
  -- Deprecated, as on hosted projects: owner_id also holds subjects that are no uuid.
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text,
  type storage.buckettype not null default 'STANDARD'
);
create unique index bname on storage.buckets (name);

create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text references storage.buckets (id),
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  -- The name of the file on the disk.
  version text,
  owner_id text,
  user_metadata jsonb
);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);

-- What a policy sees of a name: the folders above it, its last part, and what follows the last dot.
create function storage.foldername(name text) returns text[]
language sql immutable
return (string_to_array(name, '/'))[1 : cardinality(string_to_array(name, '/')) - 1];

create function storage.filename(name text) returns text
language sql immutable
return (string_to_array(name, '/'))[cardinality(string_to_array(name, '/'))];

create function storage.extension(name text) returns text
language sql immutable
return reverse(split_part(reverse(storage.filename(name)), '.', 1));

-- Which request of the storage API this is, for policies that tell them apart.
create function storage.operation() returns text
language sql stable
return current_setting('storage.operation', true);

create function storage.allow_any_operation(expected_operations text[]) returns boolean
language sql stable
return coalesce(
  (
    select bool_or(
      regexp_replace(storage.operation(), '^storage\.', '')
      = regexp_replace(nullif(expected, ''), '^storage\.', '')
    )
    from unnest(expected_operations) as expected
  ),
  false
);

create function storage.allow_only_operation(expected_operation text) returns boolean
language sql stable
return storage.allow_any_operation(array[expected_operation]);

create function storage.get_size_by_bucket() returns table (size bigint, bucket_id text)
language sql stable
begin atomic
  select sum((object.metadata ->> 'size')::bigint)::bigint, object.bucket_id
  from storage.objects as object
  group by object.bucket_id;
end;

-- What lies below a folder, files and folders, each folder once. `search` is how the names begin,
-- `levels` is ignored, as on hosted projects. Security invoker: only what the caller may see.
create function storage.search(
  prefix text, bucketname text, limits integer default 100, levels integer default 1,
  offsets integer default 0, search text default '', sortcolumn text default 'name',
  sortorder text default 'asc'
)
returns table (
  name text, id uuid, updated_at timestamptz, created_at timestamptz,
  last_accessed_at timestamptz, metadata jsonb
)
language plpgsql stable
as $$
#variable_conflict use_column
declare
  below constant text := coalesce(prefix, '');
  beginning constant text := lower(below || coalesce(search, ''));
  -- A search may itself name folders: that many parts of each name are shown.
  depth constant integer := 1 + length(search) - length(replace(search, '/', ''));
  by_time constant text := case when sortcolumn in ('updated_at', 'created_at', 'last_accessed_at')
    then sortcolumn end;
  direction constant text := case when lower(sortorder) = 'desc' then 'desc' else 'asc' end;
begin
  return query execute format(
    $query$
      with matching as (
        select o.*, string_to_array(substr(o.name, length($1) + 1), '/') as parts
        from storage.objects as o
        where o.bucket_id = $2 and starts_with(lower(o.name), $3)
      ), entries as (
        select array_to_string(parts, '/') as entry, id, updated_at, created_at, last_accessed_at,
          metadata, false as is_folder
        from matching where cardinality(parts) <= $4
        union all
        select distinct array_to_string(parts[1:$4], '/'), null::uuid, null::timestamptz,
          null::timestamptz, null::timestamptz, null::jsonb, true
        from matching where cardinality(parts) > $4
      )
      select entry, id, updated_at, created_at, last_accessed_at, metadata
      from entries
      order by %s
      limit $5 offset $6
    $query$,
    case
      when by_time is null then
        format('lower(entry || case when is_folder then ''/'' else '''' end) collate "C" %1$s, '
          'entry collate "C" %1$s', direction)
      else format('is_folder desc, %I %s, entry collate "C" %2$s', by_time, direction)
    end
  ) using below, bucketname, beginning, coalesce(depth, 1), least(coalesce(limits, 100), 1500),
    coalesce(offsets, 0);
end
$$;

create function storage.update_updated_at_column() returns trigger
language plpgsql
as $$
begin
  new.updated_at = now();
  return new;
end
$$;
create trigger update_objects_updated_at before update on storage.objects
  for each row execute function storage.update_updated_at_column();

create function storage.enforce_bucket_name_length() returns trigger
language plpgsql
as $$
begin
  if length(new.name) > 100 then
    raise exception 'bucket name "%" is too long (% characters). Max is 100.',
      new.name, length(new.name);
  end if;
  return new;
end
$$;
create trigger enforce_bucket_name_length_trigger
  before insert or update of name on storage.buckets
  for each row execute function storage.enforce_bucket_name_length();

-- A row deleted by SQL would leave its file behind: only the storage API deletes.
create function storage.protect_delete() returns trigger
language plpgsql
as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception
      'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
      using hint = 'This prevents accidental data loss from orphaned objects.', errcode = '42501';
  end if;
  return null;
end
$$;
create trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
-- The policies alone decide, as on hosted projects.
grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
grant all on storage.buckets, storage.objects to postgres with grant option;
