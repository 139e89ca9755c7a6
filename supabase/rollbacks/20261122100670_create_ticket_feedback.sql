-- Loses how customers rated their tickets.

do $$
begin
  if coalesce(current_setting('customer_tickets.allow_data_loss', true), '') <> 'on' then
    raise exception 'this rollback deletes the ratings of all tickets'
      using hint = 'If that is wanted: set customer_tickets.allow_data_loss = ''on''';
  end if;
end
$$;

drop table public.ticket_feedback;
