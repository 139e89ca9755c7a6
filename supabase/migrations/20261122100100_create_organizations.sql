-- The organizations that handle tickets. Every signed-in user may read them, to choose one;
-- nobody changes them through the API.

create table public.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null unique
    check (char_length(name) <= 200 and name = private.trimmed(name) and name <> ''),
  reopen_window interval not null default '14 days'
    check (reopen_window between interval '0' and interval '10 years'),
  -- What clients and the reopening itself reckon with: an interval's months have no fixed length.
  reopen_window_seconds integer not null
    generated always as (extract(epoch from reopen_window)::integer) stored,
  created_at timestamptz not null default now()
);
comment on table public.organizations is 'Who handles tickets. A customer chooses one for each ticket.';
comment on column public.organizations.reopen_window_seconds is
  'For how long after its closure a ticket can be reopened.';

alter table public.organizations enable row level security;
revoke all on public.organizations from public, anon, authenticated, service_role;

create policy "Signed-in users see every organization"
  on public.organizations for select to authenticated using (true);

grant select (id, name, reopen_window, reopen_window_seconds, created_at)
  on public.organizations to authenticated;
grant select, insert, update, delete on public.organizations to service_role;
