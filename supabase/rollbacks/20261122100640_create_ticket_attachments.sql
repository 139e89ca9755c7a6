-- Loses which files belong to what, and their names. The files themselves stay in storage.

do $$
begin
  if coalesce(current_setting('customer_tickets.allow_data_loss', true), '') <> 'on' then
    raise exception 'this rollback deletes the records of all attachments'
      using hint = 'If that is wanted: set customer_tickets.allow_data_loss = ''on''';
  end if;
end
$$;

drop table public.ticket_attachments;
