-- People and tickets to try things on. For development only: everybody's password is secret123.
--
--   ana@example.com, ben@example.com   customers
--   harry@example.com                  a customer with 2,000 tickets
--   eva@example.com, gus@example.com   employees of Acme and of Globex
--   ada@example.com                    admin of Acme
--
-- Whatever happens is done as somebody, by the claims of their token, so that the triggers write
-- the history as they always do. Only afterwards are some tickets moved into the past.

insert into public.organizations (id, name, reopen_window) values
  ('ac3e0000-0000-4000-8000-000000000001', 'Acme', '14 days'),
  ('910be000-0000-4000-8000-000000000002', 'Globex', '7 days');

-- The hash is bcrypt's of secret123; the auth server wants empty tokens, not null ones.
insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
  raw_user_meta_data, confirmation_token, recovery_token, email_change_token_new, email_change,
  created_at, updated_at
)
select '00000000-0000-0000-0000-000000000000', p.id::uuid, 'authenticated', 'authenticated', p.email,
  '$2b$10$laZo.gGVrOgZ3k1emFJSVOpfg4fuJJrxzwuOZDT03oRrN6tzlSHsG', now(),
  '{"provider": "email", "providers": ["email"]}', jsonb_build_object('display_name', p.name),
  '', '', '', '', now(), now()
from (
  values
    ('a0a00000-0000-4000-8000-000000000001', 'ana@example.com', 'Ana Alves'),
    ('be000000-0000-4000-8000-000000000002', 'ben@example.com', 'Ben Berg'),
    ('4a000000-0000-4000-8000-000000000003', 'harry@example.com', 'Harry Heavy'),
    ('e0a00000-0000-4000-8000-000000000004', 'eva@example.com', 'Eva Ek'),
    ('90500000-0000-4000-8000-000000000005', 'gus@example.com', 'Gus Grant'),
    ('ada00000-0000-4000-8000-000000000006', 'ada@example.com', 'Ada Ahmed')
) as p (id, email, name);

insert into auth.identities (provider, provider_id, user_id, identity_data, last_sign_in_at)
select 'email', u.id::text, u.id,
  jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true), now()
from auth.users u
where u.email in (
  'ana@example.com', 'ben@example.com', 'harry@example.com',
  'eva@example.com', 'gus@example.com', 'ada@example.com'
);

update public.profiles p
set role = s.role, org_id = s.org_id::uuid
from (
  values
    ('e0a00000-0000-4000-8000-000000000004', 'employee', 'ac3e0000-0000-4000-8000-000000000001'),
    ('90500000-0000-4000-8000-000000000005', 'employee', '910be000-0000-4000-8000-000000000002'),
    ('ada00000-0000-4000-8000-000000000006', 'admin', 'ac3e0000-0000-4000-8000-000000000001')
) as s (user_id, role, org_id)
where p.user_id = s.user_id::uuid;

-- Nobody listens yet, and without a partition for today each broadcast would be a warning.
alter table public.ticket_events disable trigger customer_tickets_ring_doorbells;

-- Ana opens four tickets.
select set_config('request.jwt.claims',
  '{"sub": "a0a00000-0000-4000-8000-000000000001", "role": "authenticated"}', false);
select public.create_ticket('71c00000-0000-4000-8000-000000000001', 'Refund for order 12345',
  'The **blue** one arrived broken.', 'ac3e0000-0000-4000-8000-000000000001', 'high');
select public.create_ticket('71c00000-0000-4000-8000-000000000002', 'Invoice with the wrong address',
  'It still says *Old Street 1*.', 'ac3e0000-0000-4000-8000-000000000001', 'medium');
select public.create_ticket('71c00000-0000-4000-8000-000000000003', 'How do I change my password?',
  '', 'ac3e0000-0000-4000-8000-000000000001', 'low');
select public.create_ticket('71c00000-0000-4000-8000-000000000004', 'Delivery came a week late',
  'Promised for Monday.', '910be000-0000-4000-8000-000000000002', 'medium');
select public.send_message('3e550000-0000-4000-8000-000000000001',
  '71c00000-0000-4000-8000-000000000002', 'Could you also send it as a PDF?');

-- Ben opens one.
select set_config('request.jwt.claims',
  '{"sub": "be000000-0000-4000-8000-000000000002", "role": "authenticated"}', false);
select public.create_ticket('71c00000-0000-4000-8000-000000000005', 'The app does not start',
  'Since the last update.', 'ac3e0000-0000-4000-8000-000000000001', 'high');

-- Eva of Acme works.
select set_config('request.jwt.claims',
  '{"sub": "e0a00000-0000-4000-8000-000000000004", "role": "authenticated"}', false);
select public.assign_ticket('71c00000-0000-4000-8000-000000000002',
  'e0a00000-0000-4000-8000-000000000004', 'Billing');
select public.set_ticket_status('71c00000-0000-4000-8000-000000000002', 'in-progress');
select public.send_message('3e550000-0000-4000-8000-000000000002',
  '71c00000-0000-4000-8000-000000000002', 'The address in the CRM is wrong as well.', 'internal');
select public.send_message('3e550000-0000-4000-8000-000000000003',
  '71c00000-0000-4000-8000-000000000002', 'Of course. Is *New Street 2* right?', 'public',
  '3e550000-0000-4000-8000-000000000001');
select public.send_message('3e550000-0000-4000-8000-000000000004',
  '71c00000-0000-4000-8000-000000000003', 'Settings, then **Account**.');

-- Gus of Globex answers and closes.
select set_config('request.jwt.claims',
  '{"sub": "90500000-0000-4000-8000-000000000005", "role": "authenticated"}', false);
select public.send_message('3e550000-0000-4000-8000-000000000005',
  '71c00000-0000-4000-8000-000000000004', 'We are sorry. You get a voucher.');
select public.close_ticket('71c00000-0000-4000-8000-000000000004',
  'c105e000-0000-4000-8000-000000000001', 'voucher sent');

-- Ana rates that, has begun to write another, thanks and closes; she may still reopen this one.
select set_config('request.jwt.claims',
  '{"sub": "a0a00000-0000-4000-8000-000000000001", "role": "authenticated"}', false);
select public.send_message('3e550000-0000-4000-8000-000000000006',
  '71c00000-0000-4000-8000-000000000003', 'Found it, thank you!');
select public.close_ticket('71c00000-0000-4000-8000-000000000003',
  'c105e000-0000-4000-8000-000000000002', 'solved');
select public.rate_ticket('71c00000-0000-4000-8000-000000000004', 2,
  'c105e000-0000-4000-8000-000000000003', 'A voucher does not bring back the week.');
select public.save_draft('d4af0000-0000-4000-8000-000000000001', 0, subject => 'A second voucher?',
  handling_org_id => '910be000-0000-4000-8000-000000000002');

-- Harry opens 2,000, and Eva answers every second one, takes every fourth and closes every fifth.
select set_config('request.jwt.claims',
  '{"sub": "4a000000-0000-4000-8000-000000000003", "role": "authenticated"}', false);
insert into public.tickets (id, subject, description, priority, handling_org_id)
select md5('seed ticket ' || n)::uuid, 'Order ' || 10000 + n || ': ' || (array[
    'refund wanted', 'wrong colour', 'not delivered', 'invoice missing', 'manual missing'
  ])[1 + n % 5],
  'About order ' || 10000 + n || '.', (array['low', 'medium', 'high'])[1 + n % 3],
  'ac3e0000-0000-4000-8000-000000000001'
from generate_series(1, 2000) as n;

select set_config('request.jwt.claims',
  '{"sub": "e0a00000-0000-4000-8000-000000000004", "role": "authenticated"}', false);
insert into public.ticket_messages (id, ticket_id, body)
select md5('seed message ' || n)::uuid, md5('seed ticket ' || n)::uuid,
  'We are looking into order ' || 10000 + n || '.'
from generate_series(2, 2000, 2) as n;
update public.tickets t
set status = 'in-progress', assigned_employee = 'e0a00000-0000-4000-8000-000000000004'
from generate_series(4, 2000, 4) as n
where t.id = md5('seed ticket ' || n)::uuid;
update public.tickets t
set status = 'closed', close_reason = 'done'
from generate_series(5, 2000, 5) as n
where t.id = md5('seed ticket ' || n)::uuid;

-- Harry's lie five hours apart, the newest today. What Gus closed can no longer be reopened.
create temporary table seed_age on commit preserve rows as
select md5('seed ticket ' || n)::uuid as ticket_id, (2000 - n) * interval '5 hours' as age
from generate_series(1, 2000) as n
union all
select '71c00000-0000-4000-8000-000000000004', interval '40 days';
update public.tickets t
set created_at = t.created_at - a.age, updated_at = t.updated_at - a.age,
  closed_at = t.closed_at - a.age, last_message_at = t.last_message_at - a.age
from seed_age a
where t.id = a.ticket_id;
update public.ticket_events e set created_at = e.created_at - a.age
from seed_age a
where e.ticket_id = a.ticket_id;
update public.ticket_feedback f
set created_at = f.created_at - a.age, updated_at = f.updated_at - a.age
from seed_age a
where f.ticket_id = a.ticket_id;
update public.ticket_messages m set created_at = m.created_at - a.age
from seed_age a
where m.ticket_id = a.ticket_id;
drop table seed_age;

select set_config('request.jwt.claims', '', false);
alter table public.ticket_events enable trigger customer_tickets_ring_doorbells;
