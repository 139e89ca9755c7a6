-- How far each user has read each ticket. Users see their own position only; mark_ticket_read
-- writes it (a direct insert would tell by its foreign key which tickets exist).

create table public.ticket_reads (
  user_id uuid not null references public.profiles (user_id) on delete cascade,
  ticket_id uuid not null references public.tickets (id) on delete cascade,
  last_read_seq bigint not null check (last_read_seq >= 0),
  primary key (user_id, ticket_id)
)
with (fillfactor = 85);
create index ticket_reads_ticket_id_idx on public.ticket_reads (ticket_id);
comment on table public.ticket_reads is 'The number of the last event that a user has read in a ticket.';

alter table public.ticket_reads enable row level security;
revoke all on public.ticket_reads from public, anon, authenticated, service_role;

create policy "Users see how far they have read themselves"
  on public.ticket_reads for select to authenticated
  using (user_id = (select auth.uid()));

grant select (user_id, ticket_id, last_read_seq) on public.ticket_reads to authenticated;
grant select, insert, update, delete on public.ticket_reads to service_role;
