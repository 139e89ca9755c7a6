-- Search in one's own tickets, as a set of tickets: PostgREST filters, orders, counts and embeds it as
-- it does the table.

-- Plain text, not patterns. Without an index: text indexes do not work under row level security, and
-- one customer's rows are few. The words are lowered once, each row's text once for all words.
create function public.search_tickets(words text[]) returns setof public.tickets
language plpgsql stable set search_path = ''
as $$
declare
  me constant uuid := private.require_user();
  wanted constant text[] := array(
    select distinct lower(w) from unnest(search_tickets.words) as w where w <> ''
  );
begin
  if cardinality(search_tickets.words) > 20 then
    perform private.refuse_invalid(
      private.problem('search', 'There are more than 20 words.')
    );
  elsif exists (select from unnest(search_tickets.words) as w where char_length(w) > 200) then
    perform private.refuse_invalid(
      private.problem('search', 'A word is longer than 200 characters.')
    );
  end if;
  return query
    select t.*
    from public.tickets t
    cross join lateral (
      select lower(t.subject) as subject, lower(t.description) as description offset 0
    ) as low
    where t.user_id = me
      and not exists (
        select from unnest(wanted) as w
        where strpos(low.subject, w) = 0 and strpos(low.description, w) = 0
      );
end
$$;
comment on function public.search_tickets is
  'The caller''s own tickets in whose subject or description every word occurs, in any case.';
revoke all on function public.search_tickets(text[]) from public, anon, authenticated, service_role;
grant execute on function public.search_tickets(text[]) to authenticated, service_role;
