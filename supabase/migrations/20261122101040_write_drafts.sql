-- Drafts: save, discard, submit. Each save names the version it is made from, so that two windows
-- never overwrite one another; the submitted ticket or message has the draft's id, so that it is
-- made once, however often and from wherever it is submitted.

create function private.refuse_unknown_draft() returns void
language plpgsql set search_path = ''
as $$
begin
  perform private.refuse('TK002', 'There is no such draft.',
    'It was discarded or submitted, or is not of the signed-in user.');
end
$$;

-- Without the newer draft: the server's log keeps what an error says.
create function private.refuse_changed_draft() returns void
language plpgsql set search_path = ''
as $$
begin
  perform private.refuse('TK009', 'The draft was changed elsewhere.',
    'Read the newer one: decide what is kept, and save that with its version.');
end
$$;

create function private.draft_problems(draft public.ticket_drafts) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  problems jsonb := '[]';
begin
  if draft.id is null then
    problems := problems || private.problem('id', 'The id is missing.');
  end if;
  if (draft.version >= 0) is not true then
    problems := problems || private.problem('version', 'The version is 0 or the last one known.');
  end if;
  if char_length(draft.subject) > 200 then
    problems := problems || private.problem('subject', 'The subject is longer than 200 characters.');
  elsif draft.subject <> '' and draft.ticket_id is not null then
    problems := problems || private.problem('subject', 'A reply has no subject.');
  end if;
  if char_length(draft.description) > 20000 then
    problems := problems
      || private.problem('description', 'The description is longer than 20000 characters.');
  elsif draft.description <> '' and draft.ticket_id is not null then
    problems := problems || private.problem('description', 'A reply has no description.');
  end if;
  if draft.priority not in ('low', 'medium', 'high') then
    problems := problems
      || private.problem('priority', 'The priority is one of low, medium and high.');
  end if;
  if draft.handling_org_id is not null and draft.ticket_id is not null then
    problems := problems
      || private.problem('handling_org_id', 'A reply is handled by the organization of its ticket.');
  end if;
  if char_length(draft.body) > 20000 then
    problems := problems || private.problem('body', 'The message is longer than 20000 characters.');
  elsif draft.body <> '' and draft.ticket_id is null then
    problems := problems || private.problem('body', 'A new ticket has a description, no message.');
  end if;
  if draft.reply_to is not null and draft.ticket_id is null then
    problems := problems || private.problem('reply_to', 'A new ticket answers no message.');
  end if;
  return problems;
end
$$;

-- The caller's own draft, locked until commit; null when there is none. Definer, as all below that
-- write: nobody writes drafts directly.
create function private.lock_draft(id uuid) returns public.ticket_drafts
language plpgsql security definer set search_path = ''
as $$
declare
  draft public.ticket_drafts;
begin
  select d.* into draft from public.ticket_drafts d
  where d.id = lock_draft.id and d.user_id = (select auth.uid())
  for update;
  return draft;
end
$$;

-- The first version: who may write it, and whether its id is still free.
create function private.insert_draft(wanted public.ticket_drafts) returns boolean
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
begin
  if wanted.ticket_id is not null then
    perform private.lock_ticket(wanted.ticket_id);
  end if;
  -- Locked, so that two new drafts at once are counted one after the other.
  perform from public.profiles p where p.user_id = me for no key update;
  if (select count(*) from public.ticket_drafts d where d.user_id = me and d.id <> wanted.id) >= 200 then
    perform private.refuse_invalid(
      private.problem('draft', 'There are too many drafts: 200 are the most.')
    );
  elsif exists (select from public.tickets t where t.id = wanted.id)
    or exists (select from public.ticket_messages m where m.id = wanted.id)
  then
    perform private.refuse_used_id('id');
  end if;
  insert into public.ticket_drafts (
    id, user_id, ticket_id, handling_org_id, subject, description, priority, body, reply_to
  )
  values (
    wanted.id, me, wanted.ticket_id, wanted.handling_org_id, wanted.subject, wanted.description,
    wanted.priority, wanted.body, wanted.reply_to
  )
  on conflict do nothing;
  return found;
end
$$;

-- The wanted list with what is known of the files that the draft has already: naming their ids is
-- enough.
create function private.known_attachments(draft_id uuid, attachments jsonb) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(
      case when a.id is null then w.item else private.attachment_json(a) end order by w.place
    ), '[]')
    from jsonb_array_elements(attachments) with ordinality as w (item, place)
    left join public.ticket_attachments a
      on a.draft_id = known_attachments.draft_id and a.user_id = (select auth.uid())
        and a.id::text = w.item ->> 'id'
  );
end
$$;

-- Makes the draft's attachments what is wanted. What is dropped stays in storage, belonging to
-- nothing, until its owner removes it.
create function private.arrange_attachments(draft_id uuid, attachments jsonb) returns void
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
begin
  delete from public.ticket_attachments a
  where a.draft_id = arrange_attachments.draft_id
    and not attachments @> jsonb_build_array(jsonb_build_object('id', a.id));
  update public.ticket_attachments a set place = w.place
  from jsonb_array_elements(attachments) with ordinality as w (item, place)
  where a.draft_id = arrange_attachments.draft_id and a.id::text = w.item ->> 'id'
    and a.place <> w.place;
  perform private.attach(attachments, draft_id => arrange_attachments.draft_id);
end
$$;

create function private.save_draft(wanted public.ticket_drafts, files jsonb)
returns public.ticket_drafts
language plpgsql security definer set search_path = ''
as $$
declare
  draft public.ticket_drafts := private.lock_draft(wanted.id);
  is_new boolean := false;
  problems jsonb := '[]';
  present jsonb;
begin
  if draft.id is null and wanted.version > 0 then
    perform private.refuse_unknown_draft();
  elsif draft.id is null then
    is_new := private.insert_draft(wanted);
    -- Not new: it was made a moment ago, by another window of this user or by somebody else.
    draft := private.lock_draft(wanted.id);
    if draft.id is null then
      perform private.refuse_used_id('id');
    end if;
  end if;
  if draft.ticket_id is distinct from wanted.ticket_id then
    perform private.refuse_invalid(
      private.problem('ticket_id', 'A draft stays with its ticket.')
    );
  end if;
  present := private.attachments_of_draft(draft.id);
  -- Null leaves them as they are.
  if files is null then
    files := present;
  elsif jsonb_typeof(files) = 'array' then
    files := private.known_attachments(draft.id, files);
  end if;
  perform private.refuse_invalid(private.attachments_problems(files));
  if not is_new then
    if (draft.handling_org_id, draft.subject, draft.description, draft.priority, draft.body,
        draft.reply_to, private.attachments_key(present))
      is not distinct from (wanted.handling_org_id, wanted.subject, wanted.description,
        wanted.priority, wanted.body, wanted.reply_to, private.attachments_key(files))
    then
      return draft;
    elsif draft.version <> wanted.version then
      perform private.refuse_changed_draft();
    end if;
    update public.ticket_drafts d
    set handling_org_id = wanted.handling_org_id, subject = wanted.subject,
      description = wanted.description, priority = wanted.priority, body = wanted.body,
      reply_to = wanted.reply_to, version = d.version + 1, updated_at = clock_timestamp()
    where d.id = draft.id
    returning d.* into draft;
  end if;
  perform private.arrange_attachments(draft.id, files);
  return draft;
end
$$;

create function private.discard_draft(id uuid) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from public.ticket_drafts d
  where d.id = discard_draft.id and d.user_id = (select auth.uid());
  return found;
end
$$;

-- The files of the draft move to the ticket or the message that was made of it in this very
-- transaction, and the draft goes.
create function private.finish_draft(id uuid) returns void
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  draft constant public.ticket_drafts := private.lock_draft(finish_draft.id);
  made record;
  moved bigint;
begin
  if draft.ticket_id is null then
    select t.id as ticket_id, null::uuid as message_id, 1::bigint as seq into made
    from public.tickets t
    where t.id = draft.id and t.user_id = draft.user_id and t.created_at >= now();
  else
    select m.ticket_id, m.id as message_id, m.seq into made
    from public.ticket_messages m
    where m.id = draft.id and m.author_id = draft.user_id and m.ticket_id = draft.ticket_id
      and m.created_at >= now();
  end if;
  if made.ticket_id is null then
    perform private.refuse_used_id('id');
  end if;
  update public.ticket_attachments a
  set draft_id = null, ticket_id = made.ticket_id, message_id = made.message_id
  where a.draft_id = draft.id;
  get diagnostics moved = row_count;
  if moved > 0 then
    update public.ticket_events e set data = e.data || jsonb_build_object('attachments', moved)
    where e.ticket_id = made.ticket_id and e.seq = made.seq;
  end if;
  delete from public.ticket_drafts d where d.id = draft.id;
end
$$;

create function public.save_draft(
  id uuid, version integer, ticket_id uuid default null, handling_org_id uuid default null,
  subject text default '', description text default '', priority text default 'medium',
  body text default '', reply_to uuid default null, attachments jsonb default null
) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  draft public.ticket_drafts;
  problems jsonb := '[]';
begin
  draft.user_id := private.require_user();
  draft.id := id;
  draft.version := version;
  draft.ticket_id := ticket_id;
  draft.handling_org_id := handling_org_id;
  draft.subject := coalesce(subject, '');
  draft.description := coalesce(description, '');
  draft.priority := coalesce(priority, '');
  draft.body := coalesce(body, '');
  draft.reply_to := reply_to;
  perform private.refuse_invalid(private.draft_problems(draft));
  draft := private.save_draft(draft, nullif(attachments, 'null'));
  return jsonb_build_object('draft', private.draft_json(draft));
end
$$;

create function public.discard_draft(id uuid) returns jsonb
language plpgsql set search_path = ''
as $$
begin
  perform private.require_user();
  return jsonb_build_object('discarded', private.discard_draft(id));
end
$$;

-- What was made of a draft, as create_ticket or send_message answers; null when there is nothing.
create function private.submitted(id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  me constant uuid := (select auth.uid());
begin
  if exists (select from public.tickets t where t.id = submitted.id and t.user_id = me) then
    return jsonb_build_object('kind', 'ticket') || private.opened_json(submitted.id);
  elsif exists (
    select from public.ticket_messages m where m.id = submitted.id and m.author_id = me
  ) then
    return jsonb_build_object('kind', 'message') || private.sent_json(submitted.id);
  end if;
  return null;
end
$$;

create function public.submit_draft(id uuid, version integer) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  draft public.ticket_drafts;
  answer jsonb;
begin
  perform private.require_user();
  -- Who comes second waits here for the first, and then finds what was made.
  draft := private.lock_draft(id);
  if draft.id is null then
    answer := private.submitted(id);
    if answer is null then
      perform private.refuse_unknown_draft();
    end if;
    return answer;
  elsif draft.version is distinct from submit_draft.version then
    perform private.refuse_changed_draft();
  elsif draft.ticket_id is null then
    perform public.create_ticket(
      draft.id, draft.subject, draft.description, draft.handling_org_id, draft.priority
    );
  else
    perform public.send_message(draft.id, draft.ticket_id, draft.body, reply_to => draft.reply_to);
  end if;
  perform private.finish_draft(draft.id);
  return private.submitted(draft.id);
end
$$;

comment on function public.save_draft is
  'Saves a draft made from a version (0: a new one); another version in between is a conflict.';
comment on function public.discard_draft is 'Deletes an own draft; false when there was none.';
comment on function public.submit_draft is
  'Makes the ticket or the message that a draft holds, under its id; the draft is gone after it.';

revoke all on function private.refuse_unknown_draft()
  from public, anon, authenticated, service_role;
revoke all on function private.refuse_changed_draft()
  from public, anon, authenticated, service_role;
revoke all on function private.draft_problems(public.ticket_drafts)
  from public, anon, authenticated, service_role;
revoke all on function private.lock_draft(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.insert_draft(public.ticket_drafts)
  from public, anon, authenticated, service_role;
revoke all on function private.known_attachments(uuid, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.arrange_attachments(uuid, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.save_draft(public.ticket_drafts, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function private.discard_draft(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.finish_draft(uuid)
  from public, anon, authenticated, service_role;
revoke all on function private.submitted(uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.save_draft(uuid, integer, uuid, uuid, text, text, text, text, uuid, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.discard_draft(uuid)
  from public, anon, authenticated, service_role;
revoke all on function public.submit_draft(uuid, integer)
  from public, anon, authenticated, service_role;
-- The rest is for save_draft alone.
grant execute on function private.refuse_unknown_draft()
  to authenticated, service_role;
grant execute on function private.refuse_changed_draft()
  to authenticated, service_role;
grant execute on function private.draft_problems(public.ticket_drafts)
  to authenticated, service_role;
grant execute on function private.lock_draft(uuid)
  to authenticated, service_role;
grant execute on function private.save_draft(public.ticket_drafts, jsonb)
  to authenticated, service_role;
grant execute on function private.discard_draft(uuid)
  to authenticated, service_role;
grant execute on function private.finish_draft(uuid)
  to authenticated, service_role;
grant execute on function private.submitted(uuid)
  to authenticated, service_role;
grant execute on function public.save_draft(uuid, integer, uuid, uuid, text, text, text, text, uuid, jsonb)
  to authenticated, service_role;
grant execute on function public.discard_draft(uuid)
  to authenticated, service_role;
grant execute on function public.submit_draft(uuid, integer)
  to authenticated, service_role;
