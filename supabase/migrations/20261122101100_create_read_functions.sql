-- What a signed-in user can ask in one round trip: a thread, its older pages, what happened after a
-- number, the counts. All stable: each answer comes from one snapshot, so that its parts agree.

-- What reads one ticket is planned once, for any ticket (force_generic_plan). Planned anew for each, it
-- costs three times as much, and for a ticket with thousands of events the planner would rather hash
-- all tickets that the caller sees, by reading the whole table, than look one up for each row. Bounds
-- stand in variables: under row level security an index is not asked for a bound with coalesce in it.

-- The ticket as far as the caller may see it: policies apply.
create function private.visible_ticket(ticket_id uuid) returns public.tickets
language plpgsql stable set search_path = ''
as $$
declare
  ticket public.tickets;
begin
  perform private.require_user();
  select t.* into ticket from public.tickets t where t.id = visible_ticket.ticket_id;
  if not found then
    perform private.refuse_unknown_ticket();
  end if;
  return ticket;
end
$$;

-- The last messages before a number (null: of all), oldest first. Notes that staff may see come
-- along with the public messages around them; the limit counts public ones.
create function private.messages_before(ticket_id uuid, before_seq bigint, max_messages integer)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  top constant bigint := coalesce(before_seq, 9223372036854775807);
  first bigint;
  bottom bigint;
  more boolean;
  page public.ticket_messages[];
  attachments jsonb;
begin
  select min(m.place) into first from (
    select x.place from public.ticket_messages x
    where x.ticket_id = messages_before.ticket_id and x.message_type = 'public' and x.place < top
    order by x.place desc
    limit least(greatest(max_messages, 0), 500)
  ) m;
  bottom := coalesce(first, top);
  more := exists (
    select from public.ticket_messages x
    where x.ticket_id = messages_before.ticket_id and x.message_type = 'public'
      and x.place < bottom
  );
  if not more then
    bottom := 0;
  end if;
  page := array(
    select m
    from public.ticket_messages m
    where m.ticket_id = messages_before.ticket_id
      and m.place >= bottom and m.place < top
    order by m.place, m.seq nulls last, m.created_at, m.id
  );
  attachments := private.attachments_of_messages(array(select m.id from unnest(page) as m));
  return jsonb_build_object('more', more, 'messages', (
    select coalesce(jsonb_agg(
      private.message_json(m, attachments) order by m.place, m.seq nulls last, m.created_at, m.id
    ), '[]')
    from unnest(page) as m
  ));
end
$$;

-- Events in their order, each with its message if asked for.
create function private.events_json(page public.ticket_events[], with_messages boolean) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  attachments jsonb;
begin
  if not with_messages then
    return (
      select coalesce(jsonb_agg(private.event_json(e) order by e.seq), '[]') from unnest(page) as e
    );
  end if;
  attachments := private.attachments_of_messages(array(
    select (e.data ->> 'message_id')::uuid from unnest(page) as e where e.data ? 'attachments'
  ));
  return (
    select coalesce(
      jsonb_agg(
        private.event_json(
          e,
          case e.kind when 'message' then (
            select private.message_json(m, attachments) from public.ticket_messages m
            where m.id = (e.data ->> 'message_id')::uuid
          ) end
        )
        order by e.seq
      ),
      '[]'
    )
    from unnest(page) as e
  );
end
$$;

-- The last events before a number (null: of all), oldest first.
create function private.events_before(
  ticket_id uuid, before_seq bigint, max_events integer, with_messages boolean
) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  top constant bigint := coalesce(before_seq, 9223372036854775807);
  page public.ticket_events[];
begin
  page := array(
    select e
    from public.ticket_events e
    where e.ticket_id = events_before.ticket_id and e.seq < top
    order by e.seq desc
    limit least(greatest(max_events, 0), 1000)
  );
  return jsonb_build_object(
    'more', coalesce((select min(e.seq) from unnest(page) as e), before_seq, 2) > 1,
    'events', private.events_json(page, with_messages)
  );
end
$$;

create function public.ticket_thread(
  ticket_id uuid, message_limit integer default 50, event_limit integer default 50
) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  ticket constant public.tickets := private.visible_ticket(ticket_id);
  who constant record := private.actor(ticket.user_id);
  messages constant jsonb := private.messages_before(ticket_id, null, message_limit);
  -- Their texts are among the messages already.
  events constant jsonb := private.events_before(ticket_id, null, event_limit, false);
begin
  return jsonb_build_object(
    'ticket', private.ticket_json(ticket),
    'organization', private.organization_json(ticket.handling_org_id),
    'attachments', private.attachments_of_description(ticket_id),
    'messages', messages -> 'messages',
    'more_messages', messages -> 'more',
    'events', events -> 'events',
    'more_events', events -> 'more',
    'feedback', private.feedback_of(ticket_id),
    'draft', (
      select private.draft_json(d) from public.ticket_drafts d
      where d.ticket_id = ticket.id and d.user_id = who.id
      order by d.updated_at desc, d.id
      limit 1
    ),
    'can', private.can_json(ticket),
    'me', jsonb_build_object('id', who.id, 'role', who.role, 'name', who.name)
  );
end
$$;

create function public.ticket_events_after(
  ticket_id uuid, after_seq bigint, max_events integer default 200
) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  ticket constant public.tickets := private.visible_ticket(ticket_id);
  bottom constant bigint := coalesce(after_seq, 0);
  page public.ticket_events[];
begin
  page := array(
    select e
    from public.ticket_events e
    where e.ticket_id = ticket_events_after.ticket_id and e.seq > bottom
    order by e.seq
    limit least(greatest(max_events, 0), 1000)
  );
  return jsonb_build_object(
    'ticket', private.ticket_json(ticket),
    'can', private.can_json(ticket),
    'events', private.events_json(page, true)
  );
end
$$;

create function public.ticket_events_before(
  ticket_id uuid, before_seq bigint, max_events integer default 50
) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  perform private.visible_ticket(ticket_id);
  return private.events_before(ticket_id, before_seq, max_events, true);
end
$$;

create function public.ticket_messages_before(
  ticket_id uuid, before_seq bigint, max_messages integer default 50
) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  perform private.visible_ticket(ticket_id);
  return private.messages_before(ticket_id, before_seq, max_messages);
end
$$;

create function public.ticket_counts() returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  me constant uuid := private.require_user();
begin
  return (
    select jsonb_build_object(
      'open', count(*) filter (where t.status = 'open'),
      'in_progress', count(*) filter (where t.status = 'in-progress'),
      'closed', count(*) filter (where t.status = 'closed'),
      'unread', count(*) filter (where t.last_staff_seq > coalesce(r.last_read_seq, 0))
    )
    from public.tickets t
    left join public.ticket_reads r on r.user_id = me and r.ticket_id = t.id
    where t.user_id = me
  );
end
$$;

comment on function public.ticket_thread is
  'A ticket with its organization, last messages and events, and what the caller may do with it.';
comment on function public.ticket_events_after is
  'The events above a number, each with its message, and the ticket as of the same moment.';
comment on function public.ticket_events_before is
  'The last events below a number, each with its message, oldest first.';
comment on function public.ticket_messages_before is 'The last messages below a number, oldest first.';
comment on function public.ticket_counts is 'How many of the caller''s own tickets are in each status, and unread.';

revoke all on function private.visible_ticket(uuid) from public, anon, authenticated, service_role;
revoke all on function private.messages_before(uuid, bigint, integer)
  from public, anon, authenticated, service_role;
revoke all on function private.events_json(public.ticket_events[], boolean)
  from public, anon, authenticated, service_role;
revoke all on function private.events_before(uuid, bigint, integer, boolean)
  from public, anon, authenticated, service_role;
grant execute on function private.visible_ticket(uuid) to authenticated, service_role;
grant execute on function private.messages_before(uuid, bigint, integer)
  to authenticated, service_role;
grant execute on function private.events_json(public.ticket_events[], boolean)
  to authenticated, service_role;
grant execute on function private.events_before(uuid, bigint, integer, boolean)
  to authenticated, service_role;

revoke all on function public.ticket_thread(uuid, integer, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.ticket_events_after(uuid, bigint, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.ticket_events_before(uuid, bigint, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.ticket_messages_before(uuid, bigint, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.ticket_counts() from public, anon, authenticated, service_role;
grant execute on function public.ticket_thread(uuid, integer, integer) to authenticated, service_role;
grant execute on function public.ticket_events_after(uuid, bigint, integer)
  to authenticated, service_role;
grant execute on function public.ticket_events_before(uuid, bigint, integer)
  to authenticated, service_role;
grant execute on function public.ticket_messages_before(uuid, bigint, integer)
  to authenticated, service_role;
grant execute on function public.ticket_counts() to authenticated, service_role;
