-- For whoever follows many tickets: where each of them is, and which of one's own have changed
-- since one last asked. Both answer about what the caller sees, in one request.

-- The number of the last event of each of these tickets that the caller sees.
create function public.ticket_heads(ticket_ids uuid[]) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  perform private.require_user();
  if cardinality(ticket_heads.ticket_ids) > 1000 then
    perform private.refuse_invalid(
      private.problem('ticket_ids', 'There are more than 1000 ids.')
    );
  end if;
  return (
    select coalesce(jsonb_object_agg(t.id, t.last_seq), '{}')
    from public.tickets t
    where t.id = any (ticket_heads.ticket_ids)
  );
end
$$;

-- The caller's own tickets that changed in transaction `since` or later, with the number to ask from
-- next time. A timestamp would not do: of two changes the earlier stamp may be committed later. Every
-- transaction before `horizon` has ended, so whoever asks from there on misses none, whenever it
-- commits; a few come twice, which their last_seq tells.
create function public.ticket_changes(
  since bigint default null, after_id uuid default null, after_change bigint default null,
  max_tickets integer default 100
) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  me constant uuid := private.require_user();
  most constant integer := least(greatest(coalesce(max_tickets, 100), 1), 500);
  now_at constant pg_snapshot := pg_current_snapshot();
  horizon constant bigint := pg_snapshot_xmin(now_at)::text::bigint;
  -- What was written in another cluster, before a restore, has numbers that mean nothing here.
  ceiling constant bigint := pg_snapshot_xmax(now_at)::text::bigint;
  changed jsonb;
begin
  if ticket_changes.since is null then
    return jsonb_build_object('horizon', horizon, 'tickets', jsonb_build_array(), 'more', false,
      'ahead', false);
  end if;
  select coalesce(jsonb_agg(
      jsonb_build_object('changed_in', c.changed_in, 'ticket', private.ticket_json(c.ticket))
      order by c.changed_in, c.id
    ), '[]')
  into changed
  from (
    select t as ticket, t.changed_in, t.id
    from public.tickets t
    where t.user_id = me
      and t.changed_in >= ticket_changes.since
      and t.changed_in < ceiling
      and (
        ticket_changes.after_id is null
        or (t.changed_in, t.id) > (ticket_changes.after_change, ticket_changes.after_id)
      )
    order by t.changed_in, t.id
    limit most + 1
  ) as c;
  return jsonb_build_object(
    'horizon', horizon,
    'tickets', case
      when jsonb_array_length(changed) > most then changed - most else changed
    end,
    'more', jsonb_array_length(changed) > most,
    'ahead', ticket_changes.since > ceiling
  );
end
$$;

revoke all on function public.ticket_heads(uuid[]) from public, anon, authenticated, service_role;
revoke all on function public.ticket_changes(bigint, uuid, bigint, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.ticket_heads(uuid[]) to authenticated, service_role;
grant execute on function public.ticket_changes(bigint, uuid, bigint, integer)
  to authenticated, service_role;

comment on function public.ticket_heads(uuid[]) is
  'The number of the last event of each of these tickets; what you do not see is left out.';
comment on function public.ticket_changes(bigint, uuid, bigint, integer) is
  'Your own tickets that changed since a horizon, and the horizon to ask from next time.';
