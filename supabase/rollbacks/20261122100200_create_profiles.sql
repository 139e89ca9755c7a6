-- Loses the roles and names of all users; the users themselves stay.

do $$
begin
  if coalesce(current_setting('customer_tickets.allow_data_loss', true), '') <> 'on' then
    raise exception 'this rollback deletes the profiles of all users'
      using hint = 'If that is wanted: set customer_tickets.allow_data_loss = ''on''';
  end if;
end
$$;

drop trigger customer_tickets_create_profile on auth.users;
drop function private.create_profile();
drop function private.name_from_sign_up(jsonb, text);
drop policy "Users see themselves, staff see their organization's people" on public.profiles;
drop function private.staff_org_ids();
drop table public.profiles;
