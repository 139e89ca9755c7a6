-- The history of each ticket, numbered 1 to n without a gap in the order of the commits: the truth
-- that live readers follow. Only triggers write it; whoever sees the ticket reads it.

create table public.ticket_events (
  ticket_id uuid not null references public.tickets (id) on delete cascade,
  seq bigint not null check (seq >= 1),
  kind text not null check (kind in (
    'created', 'message', 'edited', 'status', 'assigned', 'closed', 'reopened', 'rated'
  )),
  -- No foreign key, as for messages: history outlives accounts.
  actor_id uuid,
  actor_role text not null check (actor_role in ('customer', 'employee', 'admin', 'system')),
  actor_name text not null check (char_length(actor_name) between 1 and 200),
  data jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
  request_id uuid,
  request_hash bytea,
  created_at timestamptz not null default clock_timestamp(),
  primary key (ticket_id, seq)
);
create unique index ticket_events_request_id_idx on public.ticket_events (ticket_id, request_id)
  where request_id is not null;

comment on table public.ticket_events is
  'Everything public that happened to a ticket, numbered without a gap; holds no message text.';
comment on column public.ticket_events.request_id is
  'The client''s key of a closing or reopening, to recognize its repetition.';
comment on column public.ticket_events.request_hash is
  'SHA-256 of what the ticket was created with, to recognize a repetition after an edit.';

alter table public.ticket_events enable row level security;
revoke all on public.ticket_events from public, anon, authenticated, service_role;

create policy "Events are seen with their ticket"
  on public.ticket_events for select to authenticated
  using (exists (select from public.tickets t where t.id = ticket_events.ticket_id));

grant select (
  ticket_id, seq, kind, actor_id, actor_role, actor_name, data, request_id, request_hash, created_at
) on public.ticket_events to authenticated;
grant select, insert, update, delete on public.ticket_events to service_role;
