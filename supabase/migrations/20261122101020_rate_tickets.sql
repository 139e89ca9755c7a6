-- Customers rate their closed tickets, and may change that for 14 days. The event tells the rating,
-- never the comment.

create function private.rate_ticket(
  ticket_id uuid, rating integer, comment text, request_id uuid
) returns bigint
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
  ticket constant public.tickets := private.lock_ticket(rate_ticket.ticket_id);
  hash constant bytea := sha256(convert_to(
    jsonb_build_array(rate_ticket.rating, rate_ticket.comment)::text, 'UTF8'
  ));
  who constant record := private.actor(ticket.user_id);
  feedback public.ticket_feedback;
  number bigint;
begin
  if ticket.user_id is distinct from me then
    perform private.refuse('TK008', 'Only the customer of a ticket rates it.',
      'Staff read the rating in the thread.');
  end if;
  number := private.seen_request(ticket.id, rate_ticket.request_id, 'rated', hash => hash);
  if number is not null then
    return number;
  end if;
  select f.* into feedback from public.ticket_feedback f where f.ticket_id = ticket.id;
  if (feedback.rating, feedback.comment) is not distinct from (rate_ticket.rating, rate_ticket.comment)
  then
    return null;
  elsif feedback.ticket_id is null and ticket.status <> 'closed' then
    perform private.refuse('TK004', 'The ticket is not closed.', 'Rate it once it is closed.');
  elsif private.rate_until(feedback) < clock_timestamp() then
    perform private.refuse('TK007', 'The time to change this rating is over.',
      'A rating can be changed for 14 days.', to_jsonb(private.rate_until(feedback)) #>> '{}');
  end if;
  insert into public.ticket_feedback as f (ticket_id, user_id, rating, comment)
  values (ticket.id, me, rate_ticket.rating, rate_ticket.comment)
  on conflict (ticket_id) do update
  set rating = excluded.rating, comment = excluded.comment, updated_at = clock_timestamp();
  update public.tickets t
  set last_seq = t.last_seq + 1, changed_in = pg_current_xact_id()::text::bigint,
    updated_at = clock_timestamp()
  where t.id = ticket.id
  returning t.last_seq into number;
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, data, request_id, request_hash
  )
  values (
    ticket.id, number, 'rated', who.id, who.role, who.name,
    jsonb_build_object('rating', rate_ticket.rating), rate_ticket.request_id, hash
  );
  return number;
end
$$;

create function public.rate_ticket(
  ticket_id uuid, rating integer, request_id uuid, comment text default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  wanted_comment constant text := nullif(private.trimmed(comment), '');
  problems jsonb := '[]';
  number bigint;
begin
  perform private.require_user();
  if request_id is null then
    problems := problems || private.problem('request_id', 'The request id is missing.');
  end if;
  if (rating between 1 and 5) is not true then
    problems := problems || private.problem('rating', 'The rating is a number from 1 to 5.');
  end if;
  if char_length(wanted_comment) > 2000 then
    problems := problems || private.problem('comment', 'The comment is longer than 2000 characters.');
  end if;
  perform private.refuse_invalid(problems);
  number := private.rate_ticket(ticket_id, rating, wanted_comment, request_id);
  return private.change_json(ticket_id, number)
    || jsonb_build_object('feedback', private.feedback_of(ticket_id));
end
$$;

comment on function public.rate_ticket is
  'Rates an own closed ticket, 1 to 5; can be changed for 14 days. Repeating it changes nothing.';

revoke all on function private.rate_ticket(uuid, integer, text, uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.rate_ticket(uuid, integer, uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function private.rate_ticket(uuid, integer, text, uuid)
  to authenticated, service_role;
grant execute on function public.rate_ticket(uuid, integer, uuid, text)
  to authenticated, service_role;
