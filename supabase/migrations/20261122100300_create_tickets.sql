-- Tickets. A customer sees and opens their own; staff see those that their organization handles.
-- What a client may write is subject, description and priority of a ticket that is not closed;
-- status, assignment and numbers are set by triggers and functions. Nobody deletes.

create table public.tickets (
  id uuid primary key,
  user_id uuid not null references public.profiles (user_id) on delete cascade,
  subject text not null check (char_length(subject) between 1 and 200),
  description text not null default '' check (char_length(description) <= 20000),
  status text not null default 'open' check (status in ('open', 'in-progress', 'closed')),
  priority text not null default 'medium' check (priority in ('low', 'medium', 'high')),
  priority_rank smallint not null generated always as (
    case priority when 'low' then 1 when 'medium' then 2 else 3 end
  ) stored,
  handling_org_id uuid not null references public.organizations (id),
  assigned_team text check (char_length(assigned_team) between 1 and 200),
  assigned_employee uuid references public.profiles (user_id) on delete set null,
  follow_up_of uuid references public.tickets (id) on delete set null,
  closed_at timestamptz,
  close_reason text check (char_length(close_reason) between 1 and 1000),
  last_seq bigint not null default 1,
  last_staff_seq bigint not null default 0,
  last_message_at timestamptz,
  changed_in bigint not null default pg_current_xact_id()::text::bigint,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  constraint tickets_closed_has_time check ((status = 'closed') = (closed_at is not null)),
  constraint tickets_reason_only_when_closed check (close_reason is null or status = 'closed')
)
-- Room for the counters: status, last_seq and updated_at are in no index, so that their updates stay
-- on the page and touch no index.
with (fillfactor = 85);
create index tickets_user_id_created_at_idx on public.tickets (user_id, created_at desc, id desc);
create index tickets_handling_org_id_created_at_idx
  on public.tickets (handling_org_id, created_at desc, id desc);
create index tickets_assigned_employee_idx on public.tickets (assigned_employee)
  where assigned_employee is not null;
create index tickets_follow_up_of_idx on public.tickets (follow_up_of) where follow_up_of is not null;

comment on table public.tickets is 'One request of a customer, with its state. Its id comes from the client.';
comment on column public.tickets.priority_rank is 'low 1, medium 2, high 3: to sort by.';
comment on column public.tickets.last_seq is 'The number of the newest event; events are 1 to last_seq without a gap.';
comment on column public.tickets.last_staff_seq is
  'The number of the newest event by somebody other than the customer: above one''s last_read_seq it is unread.';
comment on column public.tickets.changed_in is
  'The transaction of the newest event: who knows all transactions before n asks for changed_in >= n.';
comment on column public.tickets.updated_at is 'When the newest event happened. Internal notes do not move it.';

alter table public.tickets enable row level security;
revoke all on public.tickets from public, anon, authenticated, service_role;

create policy "Customers see their own tickets, staff their organization's"
  on public.tickets for select to authenticated
  using (
    user_id = (select auth.uid())
    or handling_org_id in (select private.staff_org_ids())
  );
create policy "Users open tickets for themselves"
  on public.tickets for insert to authenticated
  with check (user_id = (select auth.uid()));
create policy "Who sees a ticket edits it until it is closed"
  on public.tickets for update to authenticated
  using (
    status <> 'closed'
    and (
      user_id = (select auth.uid())
      or handling_org_id in (select private.staff_org_ids())
    )
  );

grant select (
  id, user_id, subject, description, status, priority, priority_rank, handling_org_id, assigned_team,
  assigned_employee, follow_up_of, closed_at, close_reason, last_seq, last_staff_seq,
  last_message_at, changed_in, created_at, updated_at
) on public.tickets to authenticated;
grant insert (id, subject, description, priority, handling_org_id) on public.tickets to authenticated;
grant update (subject, description, priority) on public.tickets to authenticated;
grant select, insert, update, delete on public.tickets to service_role;
