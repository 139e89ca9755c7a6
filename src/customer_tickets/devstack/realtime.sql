-- Schema realtime: where database broadcasts are stored, authorized and read from the WAL.
-- Loaded once into every template database by the superuser, after the roles exist. The behaviour
-- is Supabase's, swallowed errors included: whoever relies on realtime.send must see it fail here
-- in the same silence as on a hosted project.

do $$
begin
  -- Roles belong to the whole server, this file to one database of it.
  if not exists (select from pg_catalog.pg_roles where rolname = 'supabase_realtime_admin') then
    create role supabase_realtime_admin nologin noinherit;
  end if;
end
$$;

-- The owner of a table may create policies on it: migrations (role postgres) must be able to.
grant supabase_realtime_admin to postgres;

create schema realtime;
grant usage on schema realtime to anon, authenticated, service_role, supabase_realtime_admin;
-- Migrations may let roles of their own in.
grant usage on schema realtime to postgres with grant option;

create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp without time zone not null default now(),
  inserted_at timestamp without time zone not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  primary key (id, inserted_at),
  constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);

create index messages_inserted_at_topic_index
  on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;

alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages enable row level security;
revoke all on realtime.messages from public;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;

-- One partition a day, yesterday to three days ahead. The realtime server keeps them coming;
-- this is for databases that no server has been connected to.
do $$
declare
  today constant date := (now() at time zone 'UTC')::date;
  day date;
  partition text;
begin
  for ahead in -1..3 loop
    day := today + ahead;
    partition := 'messages_' || to_char(day, 'YYYY_MM_DD');
    execute format(
      'create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      partition, day, day + 1
    );
    execute format('alter table realtime.%I owner to supabase_realtime_admin', partition);
  end loop;
end
$$;

create publication supabase_realtime_messages_publication for table realtime.messages;
-- Postgres Changes are not served here, but migrations written for Supabase add tables to this.
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

create function realtime.topic() returns text
language sql stable set search_path = ''
return nullif(current_setting('realtime.topic', true), '');

create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void
language plpgsql set search_path = ''
as $$
declare
  message_id constant uuid := gen_random_uuid();
begin
  -- An array or a scalar fails here, for want of a key to set: that message is lost.
  if not coalesce(payload ? 'id', false) then
    payload := jsonb_set(payload, '{id}', to_jsonb(message_id));
  end if;
  perform set_config('realtime.topic', topic, true);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (message_id, send.payload, send.event, send.topic, send.private, 'broadcast');
exception
  when others then
    -- The change that is being announced must not fail with its announcement.
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

create function realtime.send_binary(
  payload bytea, event text, topic text, private boolean default true
)
returns void
language plpgsql set search_path = ''
as $$
begin
  perform set_config('realtime.topic', topic, true);
  insert into realtime.messages (id, binary_payload, event, topic, private, extension)
  values (
    gen_random_uuid(),
    send_binary.payload, send_binary.event, send_binary.topic, send_binary.private,
    'broadcast'
  );
exception
  when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

create function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW'
)
returns void
language plpgsql set search_path = ''
as $$
begin
  if level = 'STATEMENT' then
    raise exception 'broadcast_changes works for each row, not for each statement';
  end if;
  if operation not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'unexpected operation %', operation;
  end if;
  perform realtime.send(
    jsonb_build_object(
      'old_record', old, 'record', new,
      'operation', operation, 'table', table_name, 'schema', table_schema
    ),
    event_name, topic_name
  );
exception
  when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$$;
