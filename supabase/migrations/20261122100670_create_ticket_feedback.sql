-- How a customer rated a ticket, once it was closed. Whoever sees the ticket reads it; rate_ticket
-- writes it.

create table public.ticket_feedback (
  ticket_id uuid primary key references public.tickets (id) on delete cascade,
  -- The ticket's customer; no foreign key, for the ticket goes with its customer.
  user_id uuid not null,
  rating smallint not null check (rating between 1 and 5),
  comment text check (
    char_length(comment) between 1 and 2000 and comment = private.trimmed(comment)
  ),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
comment on table public.ticket_feedback is 'How the customer rated a ticket: 1 (bad) to 5 (good).';
comment on column public.ticket_feedback.created_at is
  'When it was first rated: for 14 days from then on it can be changed.';

alter table public.ticket_feedback enable row level security;
revoke all on public.ticket_feedback from public, anon, authenticated, service_role;

create policy "Feedback is seen with its ticket"
  on public.ticket_feedback for select to authenticated
  using (exists (select from public.tickets t where t.id = ticket_feedback.ticket_id));

grant select (ticket_id, user_id, rating, comment, created_at, updated_at)
  on public.ticket_feedback to authenticated;
grant select, insert, update, delete on public.ticket_feedback to service_role;
