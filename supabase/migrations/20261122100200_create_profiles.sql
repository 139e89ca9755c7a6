-- One profile for each user: customer, employee or admin. Signing up makes a customer, always;
-- only a backend makes somebody staff. Users see their own profile, staff their colleagues' too.

create table public.profiles (
  user_id uuid primary key references auth.users (id) on delete cascade,
  org_id uuid references public.organizations (id),
  role text not null default 'customer' check (role in ('customer', 'employee', 'admin')),
  display_name text not null check (char_length(display_name) between 1 and 200),
  created_at timestamptz not null default now(),
  constraint profiles_staff_has_organization check (role = 'customer' or org_id is not null)
);
create index profiles_org_id_idx on public.profiles (org_id);
comment on table public.profiles is 'Who a user is: the role, the organization of staff, the name others see.';

alter table public.profiles enable row level security;
revoke all on public.profiles from public, anon, authenticated, service_role;

-- A set for `in (select …)`: the planner treats it as an opaque filter and keeps the ordered index
-- of the query's own condition; every other form tried costs 100 to 1,000 times more somewhere.
-- Definer, or the policy on profiles would have to ask itself.
create function private.staff_org_ids() returns setof uuid
language sql stable security definer rows 1 set search_path = ''
as $$
  select p.org_id
  from public.profiles p
  where p.user_id = (select auth.uid()) and p.role in ('employee', 'admin')
$$;
revoke all on function private.staff_org_ids() from public, anon, authenticated, service_role;
grant execute on function private.staff_org_ids() to authenticated, service_role;

create policy "Users see themselves, staff see their organization's people"
  on public.profiles for select to authenticated
  using (user_id = (select auth.uid()) or org_id in (select private.staff_org_ids()));

grant select (user_id, org_id, role, display_name, created_at) on public.profiles to authenticated;
grant select, insert, update, delete on public.profiles to service_role;

-- Nothing that a user writes into their own metadata may fail the sign-up or choose a role.
create function private.name_from_sign_up(metadata jsonb, email text) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return left(coalesce(
    nullif(private.trimmed(metadata ->> 'display_name'), ''),
    nullif(private.trimmed(metadata ->> 'full_name'), ''),
    nullif(private.trimmed(metadata ->> 'name'), ''),
    nullif(split_part(email, '@', 1), ''),
    'Customer'
  ), 200);
end
$$;

-- Definer: the auth server, which inserts the user, may not write to schema public.
create function private.create_profile() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.profiles (user_id, display_name)
  values (new.id, private.name_from_sign_up(new.raw_user_meta_data, new.email))
  on conflict (user_id) do nothing;
  return null;
end
$$;
revoke all on function private.name_from_sign_up(jsonb, text)
  from public, anon, authenticated, service_role;
revoke all on function private.create_profile() from public, anon, authenticated, service_role;

create trigger customer_tickets_create_profile
  after insert on auth.users
  for each row execute function private.create_profile();

-- Those who signed up before this schema was there.
insert into public.profiles (user_id, display_name)
select u.id, private.name_from_sign_up(u.raw_user_meta_data, u.email) from auth.users u;
