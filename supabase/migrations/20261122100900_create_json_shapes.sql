-- The JSON that the API functions answer with, each shape written once. All of them run as their
-- caller: whoever could not read a row cannot read its JSON.

create function private.ticket_json(ticket public.tickets) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', ticket.id, 'user_id', ticket.user_id, 'subject', ticket.subject,
    'description', ticket.description, 'status', ticket.status, 'priority', ticket.priority,
    'handling_org_id', ticket.handling_org_id, 'assigned_team', ticket.assigned_team,
    'assigned_employee', ticket.assigned_employee, 'follow_up_of', ticket.follow_up_of,
    'closed_at', ticket.closed_at, 'close_reason', ticket.close_reason,
    'last_seq', ticket.last_seq, 'last_staff_seq', ticket.last_staff_seq,
    'last_message_at', ticket.last_message_at, 'created_at', ticket.created_at,
    'updated_at', ticket.updated_at,
    'last_read_seq', coalesce((
      select r.last_read_seq from public.ticket_reads r
      where r.user_id = (select auth.uid()) and r.ticket_id = ticket.id
    ), 0)
  );
end
$$;

create function private.attachment_json(attachment public.ticket_attachments) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', attachment.id, 'ticket_id', attachment.ticket_id, 'message_id', attachment.message_id,
    'draft_id', attachment.draft_id, 'user_id', attachment.user_id,
    'file_name', attachment.file_name, 'content_type', attachment.content_type,
    'size_bytes', attachment.size_bytes, 'sha256', attachment.sha256,
    'created_at', attachment.created_at
  );
end
$$;

-- One function for each, not one with three arguments: each condition has an index of its own.
create function private.attachments_of_description(ticket_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(private.attachment_json(a) order by a.place), '[]')
    from public.ticket_attachments a
    where a.ticket_id = attachments_of_description.ticket_id and a.message_id is null
  );
end
$$;

-- By the message's id, for all messages of an answer at once: asked message by message, a thread
-- takes three times as long.
create function private.attachments_of_messages(message_ids uuid[]) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_object_agg(x.message_id, x.attachments), '{}')
    from (
      select a.message_id, jsonb_agg(private.attachment_json(a) order by a.place) as attachments
      from public.ticket_attachments a
      where a.message_id = any (message_ids)
      group by a.message_id
    ) x
  );
end
$$;

create function private.attachments_of_draft(draft_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(private.attachment_json(a) order by a.place), '[]')
    from public.ticket_attachments a
    where a.draft_id = attachments_of_draft.draft_id
  );
end
$$;

create function private.draft_json(draft public.ticket_drafts) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', draft.id, 'ticket_id', draft.ticket_id, 'handling_org_id', draft.handling_org_id,
    'subject', draft.subject, 'description', draft.description, 'priority', draft.priority,
    'body', draft.body, 'reply_to', draft.reply_to, 'version', draft.version,
    'created_at', draft.created_at, 'updated_at', draft.updated_at,
    'attachments', private.attachments_of_draft(draft.id)
  );
end
$$;

-- With its own of these attachments, which are as attachments_of_messages has them.
create function private.message_json(message public.ticket_messages, attachments jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', message.id, 'ticket_id', message.ticket_id, 'seq', message.seq,
    'author_id', message.author_id, 'author_role', message.author_role,
    'author_name', message.author_name, 'body', message.body,
    'message_type', message.message_type, 'reply_to', message.reply_to,
    'created_at', message.created_at,
    'attachments', coalesce(attachments -> message.id::text, '[]')
  );
end
$$;

create function private.event_json(event public.ticket_events, message jsonb default null)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'ticket_id', event.ticket_id, 'seq', event.seq, 'kind', event.kind,
    'actor_id', event.actor_id, 'actor_role', event.actor_role, 'actor_name', event.actor_name,
    'data', event.data, 'created_at', event.created_at, 'message', event_json.message
  );
end
$$;

create function private.organization_json(org_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'id', o.id, 'name', o.name, 'reopen_window_seconds', o.reopen_window_seconds
    )
    from public.organizations o
    where o.id = organization_json.org_id
  );
end
$$;

create function private.reopen_until(ticket public.tickets) returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select ticket.closed_at + make_interval(secs => o.reopen_window_seconds)
    from public.organizations o
    where o.id = ticket.handling_org_id
  );
end
$$;

create function private.feedback_of(ticket_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'ticket_id', f.ticket_id, 'rating', f.rating, 'comment', f.comment,
      'created_at', f.created_at, 'updated_at', f.updated_at
    )
    from public.ticket_feedback f
    where f.ticket_id = feedback_of.ticket_id
  );
end
$$;

-- Null while there is no rating. In hours: a day of a time zone may have 23 or 25.
create function private.rate_until(feedback public.ticket_feedback) returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return feedback.created_at + interval '336 hours';
end
$$;

create function private.permission_json(reason text, until timestamptz default null) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'allowed', permission_json.reason is null,
    'reason', permission_json.reason,
    'until', permission_json.until
  );
end
$$;

-- What whoever sees this ticket may do with it now, and if not, why.
create function private.can_json(ticket public.tickets) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  until constant timestamptz := private.reopen_until(ticket);
  while_open constant jsonb :=
    private.permission_json(case ticket.status when 'closed' then 'closed' end);
  own constant boolean := ticket.user_id is not distinct from (select auth.uid());
  feedback public.ticket_feedback;
begin
  select f.* into feedback from public.ticket_feedback f where f.ticket_id = ticket.id;
  return jsonb_build_object(
    'reply', while_open,
    'edit', while_open,
    'close', while_open,
    'reopen', private.permission_json(
      case
        when ticket.status <> 'closed' then 'not_closed'
        when until < clock_timestamp() then 'window_over'
      end,
      until
    ),
    'rate', private.permission_json(
      case
        when not own then 'not_customer'
        when feedback.ticket_id is null and ticket.status <> 'closed' then 'not_closed'
        when private.rate_until(feedback) < clock_timestamp() then 'window_over'
      end,
      private.rate_until(feedback)
    ),
    'follow_up', private.permission_json(
      case
        when not own then 'not_customer'
        when ticket.status <> 'closed' then 'not_closed'
      end
    )
  );
end
$$;

-- A ticket as it stands and what may be done with it, with the one event that a call made (or made
-- when it was first called).
create function private.change_json(ticket_id uuid, seq bigint) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  ticket public.tickets;
begin
  select t.* into ticket from public.tickets t where t.id = change_json.ticket_id;
  return jsonb_build_object(
    'ticket', private.ticket_json(ticket),
    'can', private.can_json(ticket),
    'event', (
      select private.event_json(e) from public.ticket_events e
      where e.ticket_id = change_json.ticket_id and e.seq = change_json.seq
    )
  );
end
$$;

-- What create_ticket answers: the ticket as it is now, with the event of its opening.
create function private.opened_json(ticket_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  ticket public.tickets;
begin
  select t.* into ticket from public.tickets t where t.id = opened_json.ticket_id;
  return jsonb_build_object(
    'ticket', private.ticket_json(ticket),
    'can', private.can_json(ticket),
    'attachments', private.attachments_of_description(ticket.id),
    'events', (
      select jsonb_agg(private.event_json(e)) from public.ticket_events e
      where e.ticket_id = ticket.id and e.seq = 1
    )
  );
end
$$;

-- What send_message answers: the message, and its ticket as it is now.
create function private.sent_json(message_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  message public.ticket_messages;
  ticket public.tickets;
begin
  select m.* into message from public.ticket_messages m where m.id = sent_json.message_id;
  select t.* into ticket from public.tickets t where t.id = message.ticket_id;
  return jsonb_build_object(
    'message', private.message_json(message, private.attachments_of_messages(array[message.id])),
    'ticket', private.ticket_json(ticket),
    'can', private.can_json(ticket)
  );
end
$$;

revoke all on function private.ticket_json(public.tickets)
  from public, anon, authenticated, service_role;
revoke all on function private.attachment_json(public.ticket_attachments)
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_of_description(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_of_messages(uuid[])
  from public, anon, authenticated, service_role;
revoke all on function private.attachments_of_draft(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.draft_json(public.ticket_drafts)
  from public, anon, authenticated, service_role;
revoke all on function private.opened_json(uuid) from public, anon, authenticated, service_role;
revoke all on function private.sent_json(uuid) from public, anon, authenticated, service_role;
revoke all on function private.message_json(public.ticket_messages, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.event_json(public.ticket_events, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.organization_json(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.reopen_until(public.tickets)
  from public, anon, authenticated, service_role;
revoke all on function private.feedback_of(uuid) from public, anon, authenticated, service_role;
revoke all on function private.rate_until(public.ticket_feedback)
  from public, anon, authenticated, service_role;
revoke all on function private.permission_json(text, timestamptz)
  from public, anon, authenticated, service_role;
revoke all on function private.can_json(public.tickets)
  from public, anon, authenticated, service_role;
revoke all on function private.change_json(uuid, bigint)
  from public, anon, authenticated, service_role;
grant execute on function private.ticket_json(public.tickets) to authenticated, service_role;
grant execute on function private.attachment_json(public.ticket_attachments)
  to authenticated, service_role;
grant execute on function private.attachments_of_description(uuid) to authenticated, service_role;
grant execute on function private.attachments_of_messages(uuid[]) to authenticated, service_role;
grant execute on function private.attachments_of_draft(uuid) to authenticated, service_role;
grant execute on function private.draft_json(public.ticket_drafts) to authenticated, service_role;
grant execute on function private.opened_json(uuid) to authenticated, service_role;
grant execute on function private.sent_json(uuid) to authenticated, service_role;
grant execute on function private.message_json(public.ticket_messages, jsonb) to authenticated, service_role;
grant execute on function private.event_json(public.ticket_events, jsonb) to authenticated, service_role;
grant execute on function private.organization_json(uuid) to authenticated, service_role;
grant execute on function private.reopen_until(public.tickets) to authenticated, service_role;
grant execute on function private.permission_json(text, timestamptz) to authenticated, service_role;
grant execute on function private.feedback_of(uuid) to authenticated, service_role;
grant execute on function private.rate_until(public.ticket_feedback) to authenticated, service_role;
grant execute on function private.can_json(public.tickets) to authenticated, service_role;
grant execute on function private.change_json(uuid, bigint) to authenticated, service_role;
