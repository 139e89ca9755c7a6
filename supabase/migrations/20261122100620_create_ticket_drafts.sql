-- What users have begun to write: a new ticket, or a reply in a ticket. The owner alone sees a draft;
-- functions write it, so that no version is skipped.

create table public.ticket_drafts (
  id uuid primary key,
  user_id uuid not null references public.profiles (user_id) on delete cascade,
  ticket_id uuid references public.tickets (id) on delete cascade,
  -- No foreign keys here and at reply_to: what a draft names is looked at when it is submitted.
  handling_org_id uuid,
  subject text not null default '' check (char_length(subject) <= 200),
  description text not null default '' check (char_length(description) <= 20000),
  priority text not null default 'medium' check (priority in ('low', 'medium', 'high')),
  body text not null default '' check (char_length(body) <= 20000),
  reply_to uuid,
  version integer not null default 1 check (version >= 1),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint ticket_drafts_ticket_or_reply check (
    case
      when ticket_id is null then body = '' and reply_to is null
      else subject = '' and description = '' and handling_org_id is null
    end
  )
);
create index ticket_drafts_user_id_idx on public.ticket_drafts (user_id, updated_at desc, id desc);
create index ticket_drafts_ticket_id_idx
  on public.ticket_drafts (ticket_id, user_id, updated_at desc);

comment on table public.ticket_drafts is
  'A ticket or a reply that is not submitted yet. Its id becomes that of the ticket or message.';
comment on column public.ticket_drafts.ticket_id is 'Where it replies; null for a new ticket.';
comment on column public.ticket_drafts.version is 'How often it was saved: who knows another is late.';

alter table public.ticket_drafts enable row level security;
revoke all on public.ticket_drafts from public, anon, authenticated, service_role;

create policy "Users see their own drafts"
  on public.ticket_drafts for select to authenticated
  using (user_id = (select auth.uid()));

grant select (
  id, user_id, ticket_id, handling_org_id, subject, description, priority, body, reply_to, version,
  created_at, updated_at
) on public.ticket_drafts to authenticated;
grant select, insert, update, delete on public.ticket_drafts to service_role;
