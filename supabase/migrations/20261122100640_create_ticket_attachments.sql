-- What is attached to a ticket's description, a message or a draft. The file itself is in storage,
-- under the uploader's folder and the attachment's id; its name is only here. Functions write it.

create table public.ticket_attachments (
  id uuid primary key,
  -- No foreign key: what staff attached stays when their account goes.
  user_id uuid not null,
  ticket_id uuid references public.tickets (id) on delete cascade,
  message_id uuid references public.ticket_messages (id) on delete cascade,
  draft_id uuid references public.ticket_drafts (id) on delete cascade,
  place smallint not null check (place between 1 and 20),
  file_name text not null check (
    char_length(file_name) between 1 and 255 and file_name = private.trimmed(file_name)
    and file_name !~ '[\u0001-\u001f\u007f-\u009f/\\]' and file_name not in ('.', '..')
  ),
  content_type text not null check (char_length(content_type) between 1 and 127),
  size_bytes bigint not null check (size_bytes >= 0),
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  object_key text not null unique generated always as (user_id::text || '/' || id::text) stored,
  created_at timestamptz not null default clock_timestamp(),
  constraint ticket_attachments_draft_or_ticket check ((draft_id is null) <> (ticket_id is null)),
  constraint ticket_attachments_message_has_ticket
    check (message_id is null or ticket_id is not null)
);
create index ticket_attachments_ticket_id_idx on public.ticket_attachments (ticket_id)
  where ticket_id is not null;
create index ticket_attachments_message_id_idx on public.ticket_attachments (message_id)
  where message_id is not null;
create index ticket_attachments_draft_id_idx on public.ticket_attachments (draft_id)
  where draft_id is not null;

comment on table public.ticket_attachments is
  'A file of a description, a message or a draft. Its id comes from the client.';
comment on column public.ticket_attachments.message_id is 'Null for the files of the description.';
comment on column public.ticket_attachments.place is 'Where it stands among its like, from 1.';
comment on column public.ticket_attachments.object_key is 'Its name in bucket ticket-attachments.';

alter table public.ticket_attachments enable row level security;
revoke all on public.ticket_attachments from public, anon, authenticated, service_role;

-- The inner queries obey the policies of tickets and of messages: a note's files are staff's.
create policy "Attachments are seen with what they are attached to"
  on public.ticket_attachments for select to authenticated
  using (
    (draft_id is not null and user_id = (select auth.uid()))
    or (
      message_id is null
      and exists (select from public.tickets t where t.id = ticket_attachments.ticket_id)
    )
    or exists (
      select from public.ticket_messages m where m.id = ticket_attachments.message_id
    )
  );

grant select (
  id, user_id, ticket_id, message_id, draft_id, place, file_name, content_type, size_bytes, sha256,
  object_key, created_at
) on public.ticket_attachments to authenticated;
grant select, insert, update, delete on public.ticket_attachments to service_role;
