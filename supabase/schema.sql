-- The schema that the migrations make, for reading and for reviews; not to be run.
-- Compared and, with CUSTOMER_TICKETS_WRITE_SNAPSHOT=1, written by tests/sql/test_migrations.py.

-- schemas

schema private: authenticated USAGE, service_role USAGE
schema public: anon USAGE, authenticated USAGE, postgres CREATE, postgres USAGE, public USAGE, service_role USAGE

-- tables

table public.organizations with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- Who handles tickets. A customer chooses one for each ticket.
table public.profiles with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- Who a user is: the role, the organization of staff, the name others see.
table public.ticket_attachments with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- A file of a description, a message or a draft. Its id comes from the client.
table public.ticket_drafts with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- A ticket or a reply that is not submitted yet. Its id becomes that of the ticket or message.
table public.ticket_events with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- Everything public that happened to a ticket, numbered without a gap; holds no message text.
table public.ticket_feedback with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- How the customer rated a ticket: 1 (bad) to 5 (good).
table public.ticket_messages with row level security: service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- What people wrote in a ticket. Its id comes from the client.
table public.ticket_reads with row level security (fillfactor=85): service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- The number of the last event that a user has read in a ticket.
table public.tickets with row level security (fillfactor=85): service_role DELETE, service_role INSERT, service_role SELECT, service_role UPDATE
  -- One request of a customer, with its state. Its id comes from the client.

-- columns

public.organizations.id uuid not null default gen_random_uuid(): authenticated SELECT
public.organizations.name text not null: authenticated SELECT
public.organizations.reopen_window interval not null default '14 days'::interval: authenticated SELECT
public.organizations.reopen_window_seconds integer not null generated default (EXTRACT(epoch FROM reopen_window))::integer: authenticated SELECT
  -- For how long after its closure a ticket can be reopened.
public.organizations.created_at timestamp with time zone not null default now(): authenticated SELECT
public.profiles.user_id uuid not null: authenticated SELECT
public.profiles.org_id uuid: authenticated SELECT
public.profiles.role text not null default 'customer'::text: authenticated SELECT
public.profiles.display_name text not null: authenticated SELECT
public.profiles.created_at timestamp with time zone not null default now(): authenticated SELECT
public.ticket_attachments.id uuid not null: authenticated SELECT
public.ticket_attachments.user_id uuid not null: authenticated SELECT
public.ticket_attachments.ticket_id uuid: authenticated SELECT
public.ticket_attachments.message_id uuid: authenticated SELECT
  -- Null for the files of the description.
public.ticket_attachments.draft_id uuid: authenticated SELECT
public.ticket_attachments.place smallint not null: authenticated SELECT
  -- Where it stands among its like, from 1.
public.ticket_attachments.file_name text not null: authenticated SELECT
public.ticket_attachments.content_type text not null: authenticated SELECT
public.ticket_attachments.size_bytes bigint not null: authenticated SELECT
public.ticket_attachments.sha256 text not null: authenticated SELECT
public.ticket_attachments.object_key text not null generated default (((user_id)::text || '/'::text) || (id)::text): authenticated SELECT
  -- Its name in bucket ticket-attachments.
public.ticket_attachments.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_drafts.id uuid not null: authenticated SELECT
public.ticket_drafts.user_id uuid not null: authenticated SELECT
public.ticket_drafts.ticket_id uuid: authenticated SELECT
  -- Where it replies; null for a new ticket.
public.ticket_drafts.handling_org_id uuid: authenticated SELECT
public.ticket_drafts.subject text not null default ''::text: authenticated SELECT
public.ticket_drafts.description text not null default ''::text: authenticated SELECT
public.ticket_drafts.priority text not null default 'medium'::text: authenticated SELECT
public.ticket_drafts.body text not null default ''::text: authenticated SELECT
public.ticket_drafts.reply_to uuid: authenticated SELECT
public.ticket_drafts.version integer not null default 1: authenticated SELECT
  -- How often it was saved: who knows another is late.
public.ticket_drafts.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_drafts.updated_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_events.ticket_id uuid not null: authenticated SELECT
public.ticket_events.seq bigint not null: authenticated SELECT
public.ticket_events.kind text not null: authenticated SELECT
public.ticket_events.actor_id uuid: authenticated SELECT
public.ticket_events.actor_role text not null: authenticated SELECT
public.ticket_events.actor_name text not null: authenticated SELECT
public.ticket_events.data jsonb not null default '{}'::jsonb: authenticated SELECT
public.ticket_events.request_id uuid: authenticated SELECT
  -- The client's key of a closing or reopening, to recognize its repetition.
public.ticket_events.request_hash bytea: authenticated SELECT
  -- SHA-256 of what the ticket was created with, to recognize a repetition after an edit.
public.ticket_events.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_feedback.ticket_id uuid not null: authenticated SELECT
public.ticket_feedback.user_id uuid not null: authenticated SELECT
public.ticket_feedback.rating smallint not null: authenticated SELECT
public.ticket_feedback.comment text: authenticated SELECT
public.ticket_feedback.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
  -- When it was first rated: for 14 days from then on it can be changed.
public.ticket_feedback.updated_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_messages.id uuid not null: authenticated INSERT, authenticated SELECT
public.ticket_messages.ticket_id uuid not null: authenticated INSERT, authenticated SELECT
public.ticket_messages.author_id uuid: authenticated SELECT
public.ticket_messages.author_role text not null: authenticated SELECT
  -- As it was then; whoever writes in their own ticket is its customer.
public.ticket_messages.author_name text not null: authenticated SELECT
public.ticket_messages.body text not null: authenticated INSERT, authenticated SELECT
public.ticket_messages.message_type text not null default 'public'::text: authenticated INSERT, authenticated SELECT
public.ticket_messages.reply_to uuid: authenticated INSERT, authenticated SELECT
public.ticket_messages.place bigint not null: authenticated SELECT
  -- Where it stands: its own number, or for an internal note that of the last event before it.
public.ticket_messages.seq bigint generated default 
CASE
    WHEN (message_type = 'public'::text) THEN place
    ELSE NULL::bigint
END: authenticated SELECT
  -- The number of its event; null for internal notes.
public.ticket_messages.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.ticket_reads.user_id uuid not null: authenticated SELECT
public.ticket_reads.ticket_id uuid not null: authenticated SELECT
public.ticket_reads.last_read_seq bigint not null: authenticated SELECT
public.tickets.id uuid not null: authenticated INSERT, authenticated SELECT
public.tickets.user_id uuid not null: authenticated SELECT
public.tickets.subject text not null: authenticated INSERT, authenticated SELECT, authenticated UPDATE
public.tickets.description text not null default ''::text: authenticated INSERT, authenticated SELECT, authenticated UPDATE
public.tickets.status text not null default 'open'::text: authenticated SELECT
public.tickets.priority text not null default 'medium'::text: authenticated INSERT, authenticated SELECT, authenticated UPDATE
public.tickets.priority_rank smallint not null generated default 
CASE priority
    WHEN 'low'::text THEN 1
    WHEN 'medium'::text THEN 2
    ELSE 3
END: authenticated SELECT
  -- low 1, medium 2, high 3: to sort by.
public.tickets.handling_org_id uuid not null: authenticated INSERT, authenticated SELECT
public.tickets.assigned_team text: authenticated SELECT
public.tickets.assigned_employee uuid: authenticated SELECT
public.tickets.follow_up_of uuid: authenticated SELECT
public.tickets.closed_at timestamp with time zone: authenticated SELECT
public.tickets.close_reason text: authenticated SELECT
public.tickets.last_seq bigint not null default 1: authenticated SELECT
  -- The number of the newest event; events are 1 to last_seq without a gap.
public.tickets.last_staff_seq bigint not null default 0: authenticated SELECT
  -- The number of the newest event by somebody other than the customer: above one's last_read_seq it is unread.
public.tickets.last_message_at timestamp with time zone: authenticated SELECT
public.tickets.changed_in bigint not null default ((pg_current_xact_id())::text)::bigint: authenticated SELECT
  -- The transaction of the newest event: who knows all transactions before n asks for changed_in >= n.
public.tickets.created_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
public.tickets.updated_at timestamp with time zone not null default clock_timestamp(): authenticated SELECT
  -- When the newest event happened. Internal notes do not move it.

-- constraints

public.organizations organizations_name_check CHECK (((char_length(name) <= 200) AND (name = private.trimmed(name)) AND (name <> ''::text)))
public.organizations organizations_name_key UNIQUE (name)
public.organizations organizations_pkey PRIMARY KEY (id)
public.organizations organizations_reopen_window_check CHECK (((reopen_window >= '00:00:00'::interval) AND (reopen_window <= '10 years'::interval)))
public.profiles profiles_display_name_check CHECK (((char_length(display_name) >= 1) AND (char_length(display_name) <= 200)))
public.profiles profiles_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.organizations(id)
public.profiles profiles_pkey PRIMARY KEY (user_id)
public.profiles profiles_role_check CHECK ((role = ANY (ARRAY['customer'::text, 'employee'::text, 'admin'::text])))
public.profiles profiles_staff_has_organization CHECK (((role = 'customer'::text) OR (org_id IS NOT NULL)))
public.profiles profiles_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE
public.ticket_attachments ticket_attachments_content_type_check CHECK (((char_length(content_type) >= 1) AND (char_length(content_type) <= 127)))
public.ticket_attachments ticket_attachments_draft_id_fkey FOREIGN KEY (draft_id) REFERENCES public.ticket_drafts(id) ON DELETE CASCADE
public.ticket_attachments ticket_attachments_draft_or_ticket CHECK (((draft_id IS NULL) <> (ticket_id IS NULL)))
public.ticket_attachments ticket_attachments_file_name_check CHECK ((((char_length(file_name) >= 1) AND (char_length(file_name) <= 255)) AND (file_name = private.trimmed(file_name)) AND (file_name !~ '[\u0001-\u001f\u007f-\u009f/\\]'::text) AND (file_name <> ALL (ARRAY['.'::text, '..'::text]))))
public.ticket_attachments ticket_attachments_message_has_ticket CHECK (((message_id IS NULL) OR (ticket_id IS NOT NULL)))
public.ticket_attachments ticket_attachments_message_id_fkey FOREIGN KEY (message_id) REFERENCES public.ticket_messages(id) ON DELETE CASCADE
public.ticket_attachments ticket_attachments_object_key_key UNIQUE (object_key)
public.ticket_attachments ticket_attachments_pkey PRIMARY KEY (id)
public.ticket_attachments ticket_attachments_place_check CHECK (((place >= 1) AND (place <= 20)))
public.ticket_attachments ticket_attachments_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
public.ticket_attachments ticket_attachments_size_bytes_check CHECK ((size_bytes >= 0))
public.ticket_attachments ticket_attachments_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_drafts ticket_drafts_body_check CHECK ((char_length(body) <= 20000))
public.ticket_drafts ticket_drafts_description_check CHECK ((char_length(description) <= 20000))
public.ticket_drafts ticket_drafts_pkey PRIMARY KEY (id)
public.ticket_drafts ticket_drafts_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text])))
public.ticket_drafts ticket_drafts_subject_check CHECK ((char_length(subject) <= 200))
public.ticket_drafts ticket_drafts_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_drafts ticket_drafts_ticket_or_reply CHECK (
CASE
    WHEN (ticket_id IS NULL) THEN ((body = ''::text) AND (reply_to IS NULL))
    ELSE ((subject = ''::text) AND (description = ''::text) AND (handling_org_id IS NULL))
END)
public.ticket_drafts ticket_drafts_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(user_id) ON DELETE CASCADE
public.ticket_drafts ticket_drafts_version_check CHECK ((version >= 1))
public.ticket_events ticket_events_actor_name_check CHECK (((char_length(actor_name) >= 1) AND (char_length(actor_name) <= 200)))
public.ticket_events ticket_events_actor_role_check CHECK ((actor_role = ANY (ARRAY['customer'::text, 'employee'::text, 'admin'::text, 'system'::text])))
public.ticket_events ticket_events_data_check CHECK ((jsonb_typeof(data) = 'object'::text))
public.ticket_events ticket_events_kind_check CHECK ((kind = ANY (ARRAY['created'::text, 'message'::text, 'edited'::text, 'status'::text, 'assigned'::text, 'closed'::text, 'reopened'::text, 'rated'::text])))
public.ticket_events ticket_events_pkey PRIMARY KEY (ticket_id, seq)
public.ticket_events ticket_events_seq_check CHECK ((seq >= 1))
public.ticket_events ticket_events_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_feedback ticket_feedback_comment_check CHECK ((((char_length(comment) >= 1) AND (char_length(comment) <= 2000)) AND (comment = private.trimmed(comment))))
public.ticket_feedback ticket_feedback_pkey PRIMARY KEY (ticket_id)
public.ticket_feedback ticket_feedback_rating_check CHECK (((rating >= 1) AND (rating <= 5)))
public.ticket_feedback ticket_feedback_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_messages ticket_messages_author_name_check CHECK (((char_length(author_name) >= 1) AND (char_length(author_name) <= 200)))
public.ticket_messages ticket_messages_author_role_check CHECK ((author_role = ANY (ARRAY['customer'::text, 'employee'::text, 'admin'::text, 'system'::text])))
public.ticket_messages ticket_messages_body_check CHECK (((char_length(body) <= 20000) AND (private.trimmed(body) <> ''::text)))
public.ticket_messages ticket_messages_message_type_check CHECK ((message_type = ANY (ARRAY['public'::text, 'internal'::text])))
public.ticket_messages ticket_messages_pkey PRIMARY KEY (id)
public.ticket_messages ticket_messages_reply_to_fkey FOREIGN KEY (reply_to) REFERENCES public.ticket_messages(id) ON DELETE SET NULL
public.ticket_messages ticket_messages_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_reads ticket_reads_last_read_seq_check CHECK ((last_read_seq >= 0))
public.ticket_reads ticket_reads_pkey PRIMARY KEY (user_id, ticket_id)
public.ticket_reads ticket_reads_ticket_id_fkey FOREIGN KEY (ticket_id) REFERENCES public.tickets(id) ON DELETE CASCADE
public.ticket_reads ticket_reads_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(user_id) ON DELETE CASCADE
public.tickets tickets_assigned_employee_fkey FOREIGN KEY (assigned_employee) REFERENCES public.profiles(user_id) ON DELETE SET NULL
public.tickets tickets_assigned_team_check CHECK (((char_length(assigned_team) >= 1) AND (char_length(assigned_team) <= 200)))
public.tickets tickets_close_reason_check CHECK (((char_length(close_reason) >= 1) AND (char_length(close_reason) <= 1000)))
public.tickets tickets_closed_has_time CHECK (((status = 'closed'::text) = (closed_at IS NOT NULL)))
public.tickets tickets_description_check CHECK ((char_length(description) <= 20000))
public.tickets tickets_follow_up_of_fkey FOREIGN KEY (follow_up_of) REFERENCES public.tickets(id) ON DELETE SET NULL
public.tickets tickets_handling_org_id_fkey FOREIGN KEY (handling_org_id) REFERENCES public.organizations(id)
public.tickets tickets_pkey PRIMARY KEY (id)
public.tickets tickets_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text])))
public.tickets tickets_reason_only_when_closed CHECK (((close_reason IS NULL) OR (status = 'closed'::text)))
public.tickets tickets_status_check CHECK ((status = ANY (ARRAY['open'::text, 'in-progress'::text, 'closed'::text])))
public.tickets tickets_subject_check CHECK (((char_length(subject) >= 1) AND (char_length(subject) <= 200)))
public.tickets tickets_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(user_id) ON DELETE CASCADE

-- indexes

CREATE INDEX profiles_org_id_idx ON public.profiles USING btree (org_id)
CREATE INDEX ticket_attachments_draft_id_idx ON public.ticket_attachments USING btree (draft_id) WHERE (draft_id IS NOT NULL)
CREATE INDEX ticket_attachments_message_id_idx ON public.ticket_attachments USING btree (message_id) WHERE (message_id IS NOT NULL)
CREATE INDEX ticket_attachments_ticket_id_idx ON public.ticket_attachments USING btree (ticket_id) WHERE (ticket_id IS NOT NULL)
CREATE INDEX ticket_drafts_ticket_id_idx ON public.ticket_drafts USING btree (ticket_id, user_id, updated_at DESC)
CREATE INDEX ticket_drafts_user_id_idx ON public.ticket_drafts USING btree (user_id, updated_at DESC, id DESC)
CREATE INDEX ticket_messages_reply_to_idx ON public.ticket_messages USING btree (reply_to) WHERE (reply_to IS NOT NULL)
CREATE INDEX ticket_messages_ticket_id_place_idx ON public.ticket_messages USING btree (ticket_id, place DESC)
CREATE INDEX ticket_reads_ticket_id_idx ON public.ticket_reads USING btree (ticket_id)
CREATE INDEX tickets_assigned_employee_idx ON public.tickets USING btree (assigned_employee) WHERE (assigned_employee IS NOT NULL)
CREATE INDEX tickets_follow_up_of_idx ON public.tickets USING btree (follow_up_of) WHERE (follow_up_of IS NOT NULL)
CREATE INDEX tickets_handling_org_id_created_at_idx ON public.tickets USING btree (handling_org_id, created_at DESC, id DESC)
CREATE INDEX tickets_user_id_created_at_idx ON public.tickets USING btree (user_id, created_at DESC, id DESC)
CREATE UNIQUE INDEX organizations_name_key ON public.organizations USING btree (name)
CREATE UNIQUE INDEX organizations_pkey ON public.organizations USING btree (id)
CREATE UNIQUE INDEX profiles_pkey ON public.profiles USING btree (user_id)
CREATE UNIQUE INDEX ticket_attachments_object_key_key ON public.ticket_attachments USING btree (object_key)
CREATE UNIQUE INDEX ticket_attachments_pkey ON public.ticket_attachments USING btree (id)
CREATE UNIQUE INDEX ticket_drafts_pkey ON public.ticket_drafts USING btree (id)
CREATE UNIQUE INDEX ticket_events_pkey ON public.ticket_events USING btree (ticket_id, seq)
CREATE UNIQUE INDEX ticket_events_request_id_idx ON public.ticket_events USING btree (ticket_id, request_id) WHERE (request_id IS NOT NULL)
CREATE UNIQUE INDEX ticket_feedback_pkey ON public.ticket_feedback USING btree (ticket_id)
CREATE UNIQUE INDEX ticket_messages_pkey ON public.ticket_messages USING btree (id)
CREATE UNIQUE INDEX ticket_reads_pkey ON public.ticket_reads USING btree (user_id, ticket_id)
CREATE UNIQUE INDEX tickets_pkey ON public.tickets USING btree (id)

-- policies

policy "Attachments are seen with what they are attached to" on public.ticket_attachments for select to authenticated
  using (((draft_id IS NOT NULL) AND (user_id = ( SELECT auth.uid() AS uid))) OR ((message_id IS NULL) AND (EXISTS ( SELECT
   FROM public.tickets t
  WHERE (t.id = ticket_attachments.ticket_id)))) OR (EXISTS ( SELECT
   FROM public.ticket_messages m
  WHERE (m.id = ticket_attachments.message_id))))
policy "Customers see their own tickets, staff their organization's" on public.tickets for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)) OR (handling_org_id IN ( SELECT private.staff_org_ids() AS staff_org_ids)))
policy "Events are seen with their ticket" on public.ticket_events for select to authenticated
  using (EXISTS ( SELECT
   FROM public.tickets t
  WHERE (t.id = ticket_events.ticket_id)))
policy "Feedback is seen with its ticket" on public.ticket_feedback for select to authenticated
  using (EXISTS ( SELECT
   FROM public.tickets t
  WHERE (t.id = ticket_feedback.ticket_id)))
policy "Messages are seen with their ticket, notes by staff only" on public.ticket_messages for select to authenticated
  using (EXISTS ( SELECT
   FROM public.tickets t
  WHERE ((t.id = ticket_messages.ticket_id) AND ((ticket_messages.message_type = 'public'::text) OR (t.handling_org_id IN ( SELECT private.staff_org_ids() AS staff_org_ids))))))
policy "People of a ticket hear it, customers hear of their own" on realtime.messages for select to authenticated
  using (((extension = 'broadcast'::text) OR ((extension = 'presence'::text) AND (( SELECT realtime.topic() AS topic) ~~ 'ticket:%:presence'::text))) AND ( SELECT private.can_hear(( SELECT realtime.topic() AS topic)) AS can_hear))
policy "People of a ticket say that they are there and typing" on realtime.messages for insert to authenticated
  with check ((extension = ANY (ARRAY['broadcast'::text, 'presence'::text])) AND (( SELECT realtime.topic() AS topic) ~~ 'ticket:%:presence'::text) AND ( SELECT private.can_hear(( SELECT realtime.topic() AS topic)) AS can_hear))
policy "Signed-in users see every organization" on public.organizations for select to authenticated
  using true
policy "Users delete what they uploaded until it is attached" on storage.objects for delete to authenticated
  using ((bucket_id = 'ticket-attachments'::text) AND (split_part(name, '/'::text, 1) = (( SELECT auth.uid() AS uid))::text) AND private.may_remove_upload(name))
policy "Users open tickets for themselves" on public.tickets for insert to authenticated
  with check (user_id = ( SELECT auth.uid() AS uid))
policy "Users see attachments of their own and of what they see" on storage.objects for select to authenticated
  using ((bucket_id = 'ticket-attachments'::text) AND ((split_part(name, '/'::text, 1) = (( SELECT auth.uid() AS uid))::text) OR (EXISTS ( SELECT
   FROM public.ticket_attachments a
  WHERE (a.object_key = objects.name)))))
policy "Users see how far they have read themselves" on public.ticket_reads for select to authenticated
  using (user_id = ( SELECT auth.uid() AS uid))
policy "Users see their own drafts" on public.ticket_drafts for select to authenticated
  using (user_id = ( SELECT auth.uid() AS uid))
policy "Users see themselves, staff see their organization's people" on public.profiles for select to authenticated
  using ((user_id = ( SELECT auth.uid() AS uid)) OR (org_id IN ( SELECT private.staff_org_ids() AS staff_org_ids)))
policy "Users upload attachments below their own folder" on storage.objects for insert to authenticated
  with check ((bucket_id = 'ticket-attachments'::text) AND (name ~ '^[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'::text) AND (split_part(name, '/'::text, 1) = (( SELECT auth.uid() AS uid))::text))
policy "Who sees a ticket edits it until it is closed" on public.tickets for update to authenticated
  using ((status <> 'closed'::text) AND ((user_id = ( SELECT auth.uid() AS uid)) OR (handling_org_id IN ( SELECT private.staff_org_ids() AS staff_org_ids))))
policy "Who sees a ticket writes until it is closed, notes only staff" on public.ticket_messages for insert to authenticated
  with check ((author_id = ( SELECT auth.uid() AS uid)) AND (EXISTS ( SELECT
   FROM public.tickets t
  WHERE ((t.id = ticket_messages.ticket_id) AND (t.status <> 'closed'::text) AND ((ticket_messages.message_type = 'public'::text) OR (t.handling_org_id IN ( SELECT private.staff_org_ids() AS staff_org_ids)))))))

-- triggers

CREATE TRIGGER customer_tickets_create_profile AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION private.create_profile()
CREATE TRIGGER customer_tickets_number_change BEFORE UPDATE OF subject, description, status, priority, assigned_team, assigned_employee, close_reason ON public.tickets FOR EACH ROW EXECUTE FUNCTION private.number_change()
CREATE TRIGGER customer_tickets_open BEFORE INSERT ON public.tickets FOR EACH ROW EXECUTE FUNCTION private.open_ticket()
CREATE TRIGGER customer_tickets_place_message BEFORE INSERT ON public.ticket_messages FOR EACH ROW EXECUTE FUNCTION private.place_message()
CREATE TRIGGER customer_tickets_record_changes AFTER UPDATE OF subject, description, status, priority, assigned_team, assigned_employee, close_reason ON public.tickets FOR EACH ROW WHEN ((old.last_seq IS DISTINCT FROM new.last_seq)) EXECUTE FUNCTION private.record_changes()
CREATE TRIGGER customer_tickets_record_message AFTER INSERT ON public.ticket_messages FOR EACH ROW WHEN ((new.message_type = 'public'::text)) EXECUTE FUNCTION private.record_message()
CREATE TRIGGER customer_tickets_record_opening AFTER INSERT ON public.tickets FOR EACH ROW EXECUTE FUNCTION private.record_opening()
CREATE TRIGGER customer_tickets_ring_doorbells AFTER INSERT ON public.ticket_events FOR EACH ROW EXECUTE FUNCTION private.ring_doorbells()

-- functions

CREATE OR REPLACE FUNCTION private.actor(customer uuid, author uuid DEFAULT NULL::uuid, OUT id uuid, OUT role text, OUT name text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  select p.user_id, case when p.user_id = actor.customer then 'customer' else p.role end,
    p.display_name
  into actor.id, actor.role, actor.name
  from public.profiles p
  where p.user_id = coalesce((select auth.uid()), actor.author);
  if not found then
    actor.id := null;
    actor.role := 'system';
    actor.name := 'System';
  end if;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.arrange_attachments(draft_id uuid, attachments jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
CREATE OR REPLACE FUNCTION private.assign_ticket(ticket_id uuid, employee uuid, team text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket_as_staff(assign_ticket.ticket_id);
  wanted_team constant text := nullif(private.trimmed(assign_ticket.team), '');
  problems jsonb := '[]';
  number bigint;
begin
  if assign_ticket.employee is not null and not exists (
    select from public.profiles p
    where p.user_id = assign_ticket.employee and p.org_id = ticket.handling_org_id
      and p.role in ('employee', 'admin')
  ) then
    problems := problems || private.problem(
      'employee', 'This is not a member of the staff of the organization that handles the ticket.'
    );
  end if;
  if char_length(wanted_team) > 200 then
    problems := problems || private.problem('team', 'The team is longer than 200 characters.');
  end if;
  perform private.refuse_invalid(problems);
  update public.tickets t
  set assigned_employee = assign_ticket.employee, assigned_team = wanted_team
  where t.id = ticket.id
  returning t.last_seq into number;
  return case when number > ticket.last_seq then number end;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.assignment(employee uuid, team text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'team', assignment.team,
    'employee_id', assignment.employee,
    'employee_name',
      (select p.display_name from public.profiles p where p.user_id = assignment.employee)
  );
end
$function$
CREATE OR REPLACE FUNCTION private.attach(attachments jsonb, ticket_id uuid DEFAULT NULL::uuid, message_id uuid DEFAULT NULL::uuid, draft_id uuid DEFAULT NULL::uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
  problems jsonb := '[]';
  item jsonb;
  place integer;
  size text;
begin
  for item, place in
    select a.item, a.place
    from jsonb_array_elements(attachments) with ordinality as a (item, place)
    where not exists (
      select from public.ticket_attachments x
      where x.draft_id = attach.draft_id and x.id::text = a.item ->> 'id'
    )
    order by a.place
  loop
    select o.metadata ->> 'size' into size
    from storage.objects o
    where o.bucket_id = 'ticket-attachments' and o.name = me || '/' || (item ->> 'id')
    for share;
    if not found then
      problems := problems || private.attachments_problem(place, 'nothing has been uploaded for it.');
    elsif size is distinct from item ->> 'size_bytes' then
      problems := problems
        || private.attachments_problem(place, 'the uploaded file has another size.');
    else
      insert into public.ticket_attachments (
        id, user_id, ticket_id, message_id, draft_id, place, file_name, content_type, size_bytes,
        sha256
      )
      values (
        (item ->> 'id')::uuid, me, attach.ticket_id, attach.message_id, attach.draft_id, place,
        private.trimmed(item ->> 'file_name'), item ->> 'content_type',
        (item ->> 'size_bytes')::bigint, item ->> 'sha256'
      )
      on conflict do nothing;
      if not found then
        problems := problems
          || private.attachments_problem(place, 'its id has been used for something else.');
      end if;
    end if;
  end loop;
  perform private.refuse_invalid(problems);
end
$function$
CREATE OR REPLACE FUNCTION private.attachment_json(attachment public.ticket_attachments)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'id', attachment.id, 'ticket_id', attachment.ticket_id, 'message_id', attachment.message_id,
    'draft_id', attachment.draft_id, 'user_id', attachment.user_id,
    'file_name', attachment.file_name, 'content_type', attachment.content_type,
    'size_bytes', attachment.size_bytes, 'sha256', attachment.sha256,
    'created_at', attachment.created_at
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachment_limits()
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  return (
    select jsonb_build_object('max_bytes', b.file_size_limit, 'content_types', b.allowed_mime_types)
    from storage.buckets b
    where b.id = 'ticket-attachments'
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachment_problem(item jsonb)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  file_name constant text := private.trimmed(item ->> 'file_name');
begin
  return case
    when jsonb_typeof(item) is distinct from 'object' then 'it is not an object.'
    when jsonb_typeof(item -> 'id') is distinct from 'string'
      or item ->> 'id' !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      then 'the id is not a UUID in lower case.'
    when jsonb_typeof(item -> 'file_name') is distinct from 'string' or file_name = ''
      then 'the file name is missing.'
    when char_length(file_name) > 255 then 'the file name is longer than 255 characters.'
    when file_name in ('.', '..') or file_name ~ '[\u0001-\u001f\u007f-\u009f/\\]'
      then 'the file name is a folder, or has slashes or control characters.'
    when jsonb_typeof(item -> 'content_type') is distinct from 'string'
      or char_length(item ->> 'content_type') not between 1 and 127
      then 'the content type does not have 1 to 127 characters.'
    when jsonb_typeof(item -> 'size_bytes') is distinct from 'number'
      or item ->> 'size_bytes' !~ '^[0-9]{1,15}$'
      then 'the size is not a number of bytes.'
    when jsonb_typeof(item -> 'sha256') is distinct from 'string'
      or item ->> 'sha256' !~ '^[0-9a-f]{64}$'
      then 'the SHA-256 is not 64 hex digits in lower case.'
  end;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_key(attachments jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select coalesce(
      jsonb_agg(jsonb_build_array(a.item -> 'id', a.item -> 'sha256') order by a.place), '[]'
    )
    from jsonb_array_elements(attachments) with ordinality as a (item, place)
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_of_description(ticket_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select coalesce(jsonb_agg(private.attachment_json(a) order by a.place), '[]')
    from public.ticket_attachments a
    where a.ticket_id = attachments_of_description.ticket_id and a.message_id is null
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_of_draft(draft_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select coalesce(jsonb_agg(private.attachment_json(a) order by a.place), '[]')
    from public.ticket_attachments a
    where a.draft_id = attachments_of_draft.draft_id
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_of_messages(message_ids uuid[])
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_problem(place integer, message text)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return private.problem('attachments', format('Attachment %s: %s', place, message));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.attachments_problems(attachments jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  if jsonb_typeof(attachments) is distinct from 'array' then
    return private.problem('attachments', 'The attachments are not a list.');
  elsif jsonb_array_length(attachments) > 20 then
    return private.problem('attachments', 'There are more than 20 attachments.');
  end if;
  return (
    select coalesce(
      jsonb_agg(private.attachments_problem(x.place, x.message) -> 0 order by x.place)
        filter (where x.message is not null),
      '[]'
    )
    from (
      select a.place::integer, coalesce(
        private.attachment_problem(a.item),
        case when row_number() over (partition by a.item -> 'id' order by a.place) > 1
          then 'it is in the list twice.' end
      ) as message
      from jsonb_array_elements(attachments) with ordinality as a (item, place)
    ) x
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.can_hear(topic text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  parts constant text[] := regexp_match(
    topic,
    '^(ticket|customer):([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(:presence)?$'
  );
begin
  if parts is null then
    return false;
  elsif parts[1] = 'customer' then
    return parts[3] is null and parts[2]::uuid = (select auth.uid());
  end if;
  return exists (
    select from public.tickets t
    where t.id = parts[2]::uuid
      and (
        t.user_id = (select auth.uid())
        or t.handling_org_id in (select private.staff_org_ids())
      )
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.can_json(ticket public.tickets)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.change_json(ticket_id uuid, seq bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.close_ticket(ticket_id uuid, request_id uuid, reason text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket(close_ticket.ticket_id);
  number bigint := private.seen_request(
    close_ticket.ticket_id, close_ticket.request_id, 'closed', close_ticket.reason
  );
begin
  if number is not null then
    return number;
  end if;
  if ticket.status = 'closed' then
    perform private.refuse_closed();
  end if;
  update public.tickets t set status = 'closed', close_reason = close_ticket.reason
  where t.id = ticket.id
  returning t.last_seq into number;
  perform private.keep_request(ticket.id, number, close_ticket.request_id);
  return number;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.complete_message(message_id uuid, attachments jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  message public.ticket_messages;
begin
  select m.* into message from public.ticket_messages m
  where m.id = complete_message.message_id and m.author_id = (select auth.uid())
    and m.created_at >= now();
  if found and attachments <> '[]' then
    perform private.attach(attachments, message.ticket_id, message.id);
    update public.ticket_events e
    set data = e.data || jsonb_build_object('attachments', jsonb_array_length(attachments))
    where e.ticket_id = message.ticket_id and e.seq = message.seq;
  end if;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.complete_ticket(ticket_id uuid, attachments jsonb, follow_up_of uuid DEFAULT NULL::uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  me constant uuid := (select auth.uid());
  said constant jsonb := jsonb_strip_nulls(jsonb_build_object(
    'attachments', nullif(jsonb_array_length(attachments), 0),
    'follow_up_of', complete_ticket.follow_up_of
  ));
begin
  if said = '{}' or not exists (
    select from public.tickets t
    where t.id = complete_ticket.ticket_id and t.user_id = me and t.created_at >= now()
  ) then
    return;
  end if;
  if complete_ticket.follow_up_of is not null then
    -- Locked as every write locks, before the foreign key does it in its own way.
    perform from public.tickets t
    where t.id = complete_ticket.follow_up_of and t.user_id = me and t.status = 'closed'
    for no key update;
    if not found then
      perform private.refuse_invalid(
        private.problem('follow_up_of', 'This is not a closed ticket of your own.')
      );
    end if;
    update public.tickets t set follow_up_of = complete_ticket.follow_up_of
    where t.id = complete_ticket.ticket_id;
  end if;
  perform private.attach(attachments, complete_ticket.ticket_id);
  update public.ticket_events e set data = e.data || said
  where e.ticket_id = complete_ticket.ticket_id and e.seq = 1;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.create_profile()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  insert into public.profiles (user_id, display_name)
  values (new.id, private.name_from_sign_up(new.raw_user_meta_data, new.email))
  on conflict (user_id) do nothing;
  return null;
end
$function$
CREATE OR REPLACE FUNCTION private.discard_draft(id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  delete from public.ticket_drafts d
  where d.id = discard_draft.id and d.user_id = (select auth.uid());
  return found;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.draft_json(draft public.ticket_drafts)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'id', draft.id, 'ticket_id', draft.ticket_id, 'handling_org_id', draft.handling_org_id,
    'subject', draft.subject, 'description', draft.description, 'priority', draft.priority,
    'body', draft.body, 'reply_to', draft.reply_to, 'version', draft.version,
    'created_at', draft.created_at, 'updated_at', draft.updated_at,
    'attachments', private.attachments_of_draft(draft.id)
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.draft_problems(draft public.ticket_drafts)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.event_json(event public.ticket_events, message jsonb DEFAULT NULL::jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'ticket_id', event.ticket_id, 'seq', event.seq, 'kind', event.kind,
    'actor_id', event.actor_id, 'actor_role', event.actor_role, 'actor_name', event.actor_name,
    'data', event.data, 'created_at', event.created_at, 'message', event_json.message
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.events_before(ticket_id uuid, before_seq bigint, max_events integer, with_messages boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.events_json(page public.ticket_events[], with_messages boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.feedback_of(ticket_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.finish_draft(id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.insert_draft(wanted public.ticket_drafts)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
CREATE OR REPLACE FUNCTION private.is_backend()
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (select auth.uid()) is null
    and coalesce((select auth.role()), '') not in ('anon', 'authenticated');
end
$function$
CREATE OR REPLACE FUNCTION private.keep_request(ticket_id uuid, seq bigint, request_id uuid, hash bytea DEFAULT NULL::bytea)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  update public.ticket_events e
  set request_id = keep_request.request_id, request_hash = keep_request.hash
  where e.ticket_id = keep_request.ticket_id and e.seq = keep_request.seq
    and e.actor_id = (select auth.uid()) and e.request_id is null;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.known_attachments(draft_id uuid, attachments jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
CREATE OR REPLACE FUNCTION private.lock_draft(id uuid)
 RETURNS public.ticket_drafts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  draft public.ticket_drafts;
begin
  select d.* into draft from public.ticket_drafts d
  where d.id = lock_draft.id and d.user_id = (select auth.uid())
  for update;
  return draft;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.lock_ticket(ticket_id uuid)
 RETURNS public.tickets
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket public.tickets;
begin
  select t.* into ticket
  from public.tickets t
  where t.id = lock_ticket.ticket_id
    and (
      t.user_id = (select auth.uid())
      or t.handling_org_id in (select private.staff_org_ids())
      or private.is_backend()
    )
  for no key update;
  if not found then
    perform private.refuse_unknown_ticket();
  end if;
  return ticket;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.lock_ticket_as_staff(ticket_id uuid)
 RETURNS public.tickets
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket(lock_ticket_as_staff.ticket_id);
begin
  if (ticket.handling_org_id in (select private.staff_org_ids())) is not true then
    perform private.refuse('TK008', 'Only staff may do this.',
      'It is for employees and admins of the organization that handles the ticket.');
  end if;
  return ticket;
end
$function$
CREATE OR REPLACE FUNCTION private.mark_ticket_read(ticket_id uuid, seq bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  me constant uuid := (select auth.uid());
  ticket public.tickets;
  number bigint;
begin
  update public.ticket_reads r
  set last_read_seq = greatest(r.last_read_seq, least(mark_ticket_read.seq, t.last_seq))
  from public.tickets t
  where r.user_id = me and r.ticket_id = mark_ticket_read.ticket_id and t.id = r.ticket_id
  returning r.last_read_seq into number;
  if number is null then
    -- Locked like every write: the foreign key of a first read would share-lock the row.
    ticket := private.lock_ticket(mark_ticket_read.ticket_id);
    insert into public.ticket_reads as r (user_id, ticket_id, last_read_seq)
    values (me, ticket.id, least(greatest(mark_ticket_read.seq, 0), ticket.last_seq))
    on conflict on constraint ticket_reads_pkey
      do update set last_read_seq = greatest(r.last_read_seq, excluded.last_read_seq)
    returning r.last_read_seq into number;
  end if;
  return number;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.may_remove_upload(object_key text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  if not starts_with(object_key, (select auth.uid()) || '/') then
    return false;
  end if;
  perform from storage.objects o
  where o.bucket_id = 'ticket-attachments' and o.name = may_remove_upload.object_key
  for update;
  return not exists (
    select from public.ticket_attachments a where a.object_key = may_remove_upload.object_key
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.message_json(message public.ticket_messages, attachments jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.messages_before(ticket_id uuid, before_seq bigint, max_messages integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.name_from_sign_up(metadata jsonb, email text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
begin
  return left(coalesce(
    nullif(private.trimmed(metadata ->> 'display_name'), ''),
    nullif(private.trimmed(metadata ->> 'full_name'), ''),
    nullif(private.trimmed(metadata ->> 'name'), ''),
    nullif(split_part(email, '@', 1), ''),
    'Customer'
  ), 200);
end
$function$
CREATE OR REPLACE FUNCTION private.number_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  changes bigint;
begin
  new.subject := private.trimmed(new.subject);
  if old.status <> 'closed' and new.status = 'closed' then
    new.closed_at := clock_timestamp();
  elsif new.status <> 'closed' then
    new.closed_at := null;
    new.close_reason := null;
  elsif (old.subject, old.description, old.priority)
    is distinct from (new.subject, new.description, new.priority)
  then
    perform private.refuse_closed();
  end if;
  select count(*) into changes from private.ticket_changes(old, new);
  if changes > 0 then
    new.last_seq := old.last_seq + changes;
    new.updated_at := clock_timestamp();
    new.changed_in := pg_current_xact_id()::text::bigint;
    if (private.actor(new.user_id)).id is distinct from new.user_id then
      new.last_staff_seq := new.last_seq;
    end if;
  end if;
  return new;
end
$function$
CREATE OR REPLACE FUNCTION private.open_ticket()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
begin
  if (select auth.uid()) is not null then
    new.user_id := (select auth.uid());
    new.status := 'open';
  end if;
  new.subject := private.trimmed(new.subject);
  if new.status = 'closed' and new.closed_at is null then
    new.closed_at := clock_timestamp();
  end if;
  new.last_seq := 1;
  new.last_staff_seq := case when (private.actor(new.user_id, new.user_id)).id = new.user_id then 0 else 1 end;
  new.changed_in := pg_current_xact_id()::text::bigint;
  new.created_at := clock_timestamp();
  new.updated_at := new.created_at;
  return new;
end
$function$
CREATE OR REPLACE FUNCTION private.opened_json(ticket_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.organization_json(org_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select jsonb_build_object(
      'id', o.id, 'name', o.name, 'reopen_window_seconds', o.reopen_window_seconds
    )
    from public.organizations o
    where o.id = organization_json.org_id
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.orphaned_uploads(older_than_seconds integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  folder constant text := (select auth.uid()) || '/';
begin
  return (
    select jsonb_build_object('uploads', coalesce(jsonb_agg(
      jsonb_build_object(
        'object_key', x.name, 'size_bytes', x.metadata -> 'size', 'created_at', x.created_at
      )
      order by x.created_at, x.name
    ), '[]'))
    from (
      select o.name, o.metadata, o.created_at
      from storage.objects o
      where o.bucket_id = 'ticket-attachments' and o.name like folder || '%'
        and o.created_at <= clock_timestamp() - make_interval(secs => older_than_seconds)
        and not exists (select from public.ticket_attachments a where a.object_key = o.name)
      order by o.created_at, o.name
      limit 1000
    ) x
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.permission_json(reason text, until timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_object(
    'allowed', permission_json.reason is null,
    'reason', permission_json.reason,
    'until', permission_json.until
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.place_message()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket(new.ticket_id);
  who constant record := private.actor(ticket.user_id, new.author_id);
  problems jsonb := '[]';
begin
  if ticket.status = 'closed' then
    perform private.refuse_closed();
  end if;
  if new.message_type = 'internal' and not private.is_backend()
    and (ticket.handling_org_id in (select private.staff_org_ids())) is not true
  then
    problems := problems || private.problem('message_type', 'Only staff write internal notes.');
  end if;
  -- A public answer to an internal note would tell of the note.
  if new.reply_to is not null and not exists (
    select from public.ticket_messages m
    where m.id = new.reply_to and m.ticket_id = new.ticket_id
      and (m.message_type = 'public' or new.message_type = 'internal')
  ) then
    problems := problems || private.problem('reply_to', 'This is not a message of the ticket.');
  end if;
  perform private.refuse_invalid(problems);
  new.author_id := who.id;
  new.author_role := who.role;
  new.author_name := who.name;
  new.created_at := clock_timestamp();
  new.place := ticket.last_seq + case new.message_type when 'public' then 1 else 0 end;
  return new;
end
$function$
CREATE OR REPLACE FUNCTION private.problem(field text, message text)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return jsonb_build_array(jsonb_build_object('field', field, 'message', message));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.rate_ticket(ticket_id uuid, rating integer, comment text, request_id uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.rate_until(feedback public.ticket_feedback)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return feedback.created_at + interval '336 hours';
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.record_changes()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  who constant record := private.actor(new.user_id);
begin
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, data, created_at
  )
  select new.id, old.last_seq + c.ordinality, c.kind, who.id, who.role, who.name, c.data,
    new.updated_at
  from private.ticket_changes(old, new) with ordinality as c (kind, data, ordinality);
  return null;
end
$function$
CREATE OR REPLACE FUNCTION private.record_message()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  number bigint;
begin
  update public.tickets t
  set last_seq = t.last_seq + 1,
    last_staff_seq =
      case when new.author_id = t.user_id then t.last_staff_seq else t.last_seq + 1 end,
    last_message_at = new.created_at,
    changed_in = pg_current_xact_id()::text::bigint,
    updated_at = new.created_at
  where t.id = new.ticket_id
  returning t.last_seq into number;
  if number <> new.place then
    -- One statement inserted several messages of this ticket, and all were placed before any was counted.
    update public.ticket_messages m set place = number where m.id = new.id;
  end if;
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, data, created_at
  )
  values (
    new.ticket_id, number, 'message', new.author_id, new.author_role, new.author_name,
    jsonb_build_object('message_id', new.id), new.created_at
  );
  return null;
end
$function$
CREATE OR REPLACE FUNCTION private.record_opening()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  who constant record := private.actor(new.user_id, new.user_id);
begin
  insert into public.ticket_events (
    ticket_id, seq, kind, actor_id, actor_role, actor_name, request_hash, created_at
  )
  values (
    new.id, 1, 'created', who.id, who.role, who.name,
    private.ticket_hash(new.subject, new.description, new.priority, new.handling_org_id),
    new.created_at
  );
  return null;
end
$function$
CREATE OR REPLACE FUNCTION private.refuse(code text, message text, hint text, detail text DEFAULT ''::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  raise exception using
    errcode = refuse.code, message = refuse.message, hint = refuse.hint, detail = refuse.detail;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_changed_draft()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.refuse('TK009', 'The draft was changed elsewhere.',
    'Read the newer one: decide what is kept, and save that with its version.');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_closed()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.refuse('TK003', 'The ticket is closed.',
    'Reopen it; when the time for that is over, open a new ticket.');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_invalid(problems jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if problems <> '[]' then
    perform private.refuse('TK001', 'The input is not valid.',
      'The detail lists every wrong field with what is wrong with it.', problems::text);
  end if;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_unknown_draft()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.refuse('TK002', 'There is no such draft.',
    'It was discarded or submitted, or is not of the signed-in user.');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_unknown_ticket()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.refuse('TK002', 'There is no such ticket.',
    'It does not exist, or it is not visible to the signed-in user.');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.refuse_used_id(field text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.refuse('23505', format('This %s has been used for something else.', field),
    'Make a new random UUID for each new thing; repeat one only with the very same content.');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.reopen_ticket(ticket_id uuid, request_id uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket(reopen_ticket.ticket_id);
  number bigint := private.seen_request(
    reopen_ticket.ticket_id, reopen_ticket.request_id, 'reopened'
  );
  until timestamptz;
begin
  if number is not null then
    return number;
  end if;
  if ticket.status <> 'closed' then
    perform private.refuse('TK004', 'The ticket is not closed.', 'There is nothing to reopen.');
  end if;
  until := private.reopen_until(ticket);
  if until < clock_timestamp() then
    perform private.refuse('TK005', 'The time to reopen this ticket is over.',
      'Open a new ticket.', to_jsonb(until) #>> '{}');
  end if;
  update public.tickets t set status = 'open'
  where t.id = ticket.id
  returning t.last_seq into number;
  perform private.keep_request(ticket.id, number, reopen_ticket.request_id);
  return number;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.reopen_until(ticket public.tickets)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  return (
    select ticket.closed_at + make_interval(secs => o.reopen_window_seconds)
    from public.organizations o
    where o.id = ticket.handling_org_id
  );
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.require_user()
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  me constant uuid := (select auth.uid());
begin
  if me is null then
    perform private.refuse('TK006', 'Nobody is signed in.', 'Sign in first.');
  end if;
  return me;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.ring_doorbells()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
 SET "TimeZone" TO 'UTC'
AS $function$
declare
  customer uuid;
  payload constant jsonb :=
    jsonb_build_object('ticket_id', new.ticket_id, 'seq', new.seq, 'kind', new.kind);
begin
  select t.user_id into customer from public.tickets t where t.id = new.ticket_id;
  perform realtime.send(payload, 'event', 'ticket:' || new.ticket_id, true);
  perform realtime.send(payload, 'event', 'customer:' || customer, true);
  return null;
exception when others then
  raise warning 'customer_tickets.doorbell_failed ticket % event %: %', new.ticket_id, new.seq, sqlstate;
  return null;
end
$function$
CREATE OR REPLACE FUNCTION private.save_draft(wanted public.ticket_drafts, files jsonb)
 RETURNS public.ticket_drafts
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.seen_request(ticket_id uuid, request_id uuid, kind text, reason text DEFAULT NULL::text, hash bytea DEFAULT NULL::bytea)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  event public.ticket_events;
begin
  select e.* into event
  from public.ticket_events e
  where e.ticket_id = seen_request.ticket_id and e.request_id = seen_request.request_id;
  if found and (event.actor_id, event.kind, event.data ->> 'reason', event.request_hash)
    is distinct from (
      (select auth.uid()), seen_request.kind, seen_request.reason, seen_request.hash
    )
  then
    perform private.refuse_used_id('request_id');
  end if;
  return event.seq;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.sent_json(message_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.set_ticket_status(ticket_id uuid, status text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO ''
AS $function$
declare
  ticket constant public.tickets := private.lock_ticket_as_staff(set_ticket_status.ticket_id);
  number bigint;
begin
  if coalesce(set_ticket_status.status, '') not in ('open', 'in-progress', 'closed') then
    perform private.refuse_invalid(
      private.problem('status', 'The status is one of open, in-progress and closed.')
    );
  end if;
  update public.tickets t set status = set_ticket_status.status
  where t.id = ticket.id
  returning t.last_seq into number;
  return case when number > ticket.last_seq then number end;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.staff_org_ids()
 RETURNS SETOF uuid
 LANGUAGE sql
 STABLE SECURITY DEFINER ROWS 1
 SET search_path TO ''
AS $function$
  select p.org_id
  from public.profiles p
  where p.user_id = (select auth.uid()) and p.role in ('employee', 'admin')
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.submitted(id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.ticket_changes(before public.tickets, after public.tickets)
 RETURNS TABLE(kind text, data jsonb)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  fields constant text[] := array_remove(array[
    case when before.subject is distinct from after.subject then 'subject' end,
    case when before.priority is distinct from after.priority then 'priority' end,
    case when before.description is distinct from after.description then 'description' end
  ], null);
begin
  if fields <> '{}' then
    kind := 'edited';
    select jsonb_build_object('fields', to_jsonb(fields),
        'from', coalesce(jsonb_object_agg(c.field, c.old_value), '{}'),
        'to', coalesce(jsonb_object_agg(c.field, c.new_value), '{}'))
    into data
    from (
      values ('subject', before.subject, after.subject), ('priority', before.priority, after.priority)
    ) as c (field, old_value, new_value)
    where c.field = any (fields);
    return next;
  end if;
  if (before.assigned_employee, before.assigned_team)
    is distinct from (after.assigned_employee, after.assigned_team)
  then
    kind := 'assigned';
    data := jsonb_build_object(
      'from', private.assignment(before.assigned_employee, before.assigned_team),
      'to', private.assignment(after.assigned_employee, after.assigned_team)
    );
    return next;
  end if;
  if before.status = after.status then
    return;
  elsif after.status = 'closed' then
    kind := 'closed';
    data := jsonb_build_object('reason', after.close_reason, 'from', before.status);
  else
    kind := case before.status when 'closed' then 'reopened' else 'status' end;
    data := jsonb_build_object('from', before.status, 'to', after.status);
  end if;
  return next;
end
$function$
CREATE OR REPLACE FUNCTION private.ticket_hash(subject text, description text, priority text, handling_org_id uuid)
 RETURNS bytea
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return sha256(convert_to(
    jsonb_build_array(subject, description, priority, handling_org_id)::text, 'UTF8'
  ));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.ticket_json(ticket public.tickets)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.ticket_problems(subject text, description text, priority text)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO ''
AS $function$
declare
  length constant integer := char_length(private.trimmed(subject));
  problems jsonb := '[]';
begin
  if length = 0 then
    problems := problems || private.problem('subject', 'The subject is blank.');
  elsif length > 200 then
    problems := problems || private.problem('subject', 'The subject is longer than 200 characters.');
  end if;
  if char_length(description) > 20000 then
    problems := problems
      || private.problem('description', 'The description is longer than 20000 characters.');
  end if;
  if priority not in ('low', 'medium', 'high') then
    problems := problems
      || private.problem('priority', 'The priority is one of low, medium and high.');
  end if;
  return problems;
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.trimmed(value text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return btrim(value, E' \t\n\u000b\f\r\u001c\u001d\u001e\u001f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003'
    '\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000');
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION private.visible_ticket(ticket_id uuid)
 RETURNS public.tickets
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
CREATE OR REPLACE FUNCTION public.assign_ticket(ticket_id uuid, employee uuid, team text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  number bigint;
begin
  perform private.require_user();
  number := private.assign_ticket(ticket_id, employee, team);
  return private.change_json(ticket_id, number);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Staff: assigns to an employee and a team; null is nobody.
CREATE OR REPLACE FUNCTION public.attachment_limits()
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  perform private.require_user();
  return private.attachment_limits();
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- What a file may be: bytes and content types; null is anything.
CREATE OR REPLACE FUNCTION public.close_ticket(ticket_id uuid, request_id uuid, reason text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  wanted_reason constant text := nullif(private.trimmed(reason), '');
  problems jsonb := '[]';
  number bigint;
begin
  perform private.require_user();
  if request_id is null then
    problems := problems || private.problem('request_id', 'The request id is missing.');
  end if;
  if char_length(wanted_reason) > 1000 then
    problems := problems || private.problem('reason', 'The reason is longer than 1000 characters.');
  end if;
  perform private.refuse_invalid(problems);
  -- A statement of its own, here and below: change_json would not see what its own statement does.
  number := private.close_ticket(ticket_id, request_id, wanted_reason);
  return private.change_json(ticket_id, number);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Closes a ticket; repeating a request_id changes nothing and returns the event it made.
CREATE OR REPLACE FUNCTION public.create_ticket(id uuid, subject text, description text, handling_org_id uuid, priority text DEFAULT 'medium'::text, attachments jsonb DEFAULT '[]'::jsonb, follow_up_of uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  me constant uuid := private.require_user();
  wanted_subject constant text := private.trimmed(coalesce(create_ticket.subject, ''));
  wanted_description constant text := coalesce(create_ticket.description, '');
  files constant jsonb := coalesce(nullif(create_ticket.attachments, 'null'), '[]');
  problems jsonb := private.ticket_problems(
    wanted_subject, wanted_description, coalesce(create_ticket.priority, '')
  ) || private.attachments_problems(files);
  opening public.ticket_events;
begin
  if create_ticket.id is null then
    problems := problems || private.problem('id', 'The id is missing.');
  end if;
  if create_ticket.handling_org_id is null then
    problems := problems || private.problem('handling_org_id', 'The organization is missing.');
  elsif not exists (select from public.organizations o where o.id = create_ticket.handling_org_id)
  then
    problems := problems || private.problem('handling_org_id', 'There is no such organization.');
  end if;
  perform private.refuse_invalid(problems);

  -- Two at once with one id: the second waits here for the first, and then finds its ticket.
  insert into public.tickets (id, subject, description, priority, handling_org_id)
  values (
    create_ticket.id, wanted_subject, wanted_description, create_ticket.priority,
    create_ticket.handling_org_id
  )
  on conflict (id) do nothing;
  if found then
    perform private.complete_ticket(create_ticket.id, files, create_ticket.follow_up_of);
  end if;

  select e.* into opening
  from public.ticket_events e join public.tickets t on t.id = e.ticket_id
  where e.ticket_id = create_ticket.id and e.seq = 1 and t.user_id = me;
  -- Against what it was created with: the ticket may have been edited since, and what it follows
  -- deleted.
  if opening.request_hash is distinct from private.ticket_hash(
      wanted_subject, wanted_description, create_ticket.priority, create_ticket.handling_org_id
    )
    or (opening.data ->> 'follow_up_of')::uuid is distinct from create_ticket.follow_up_of
    or private.attachments_key(private.attachments_of_description(create_ticket.id))
      <> private.attachments_key(files)
  then
    perform private.refuse_used_id('id');
  end if;
  return private.opened_json(create_ticket.id);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Opens a ticket; the id is the client's, and repeating it with the same content changes nothing.
CREATE OR REPLACE FUNCTION public.discard_draft(id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.require_user();
  return jsonb_build_object('discarded', private.discard_draft(id));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Deletes an own draft; false when there was none.
CREATE OR REPLACE FUNCTION public.edit_ticket(ticket_id uuid, subject text DEFAULT NULL::text, description text DEFAULT NULL::text, priority text DEFAULT NULL::text, request_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  hash constant bytea := private.ticket_hash(
    edit_ticket.subject, edit_ticket.description, edit_ticket.priority, null
  );
  before public.tickets;
  number bigint;
begin
  perform private.require_user();
  before := private.lock_ticket(edit_ticket.ticket_id);
  perform private.refuse_invalid(private.ticket_problems(
    edit_ticket.subject, edit_ticket.description, edit_ticket.priority
  ));
  -- Looked for before writing: a repetition must not undo what others have changed since.
  number := private.seen_request(
    edit_ticket.ticket_id, edit_ticket.request_id, 'edited', hash => hash
  );
  if number is not null then
    return private.change_json(edit_ticket.ticket_id, number);
  end if;
  if before.status = 'closed' then
    perform private.refuse_closed();
  end if;
  update public.tickets t
  set subject = coalesce(edit_ticket.subject, t.subject),
    description = coalesce(edit_ticket.description, t.description),
    priority = coalesce(edit_ticket.priority, t.priority)
  where t.id = edit_ticket.ticket_id
  returning t.last_seq into number;
  if number = before.last_seq then
    return private.change_json(edit_ticket.ticket_id, null);
  end if;
  perform private.keep_request(edit_ticket.ticket_id, number, edit_ticket.request_id, hash);
  return private.change_json(edit_ticket.ticket_id, number);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Changes what is not null of an open ticket; repeating a request_id changes nothing more.
CREATE OR REPLACE FUNCTION public.mark_ticket_read(ticket_id uuid, seq bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  perform private.require_user();
  if not exists (select from public.tickets t where t.id = mark_ticket_read.ticket_id) then
    perform private.refuse_unknown_ticket();
  end if;
  if seq is null then
    perform private.refuse_invalid(private.problem('seq', 'The number is missing.'));
  end if;
  return jsonb_build_object('last_read_seq', private.mark_ticket_read(ticket_id, seq));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Remembers how far the caller has read; never backwards, never beyond the last event.
CREATE OR REPLACE FUNCTION public.orphaned_uploads(older_than_seconds integer DEFAULT 3600)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
begin
  perform private.require_user();
  return private.orphaned_uploads(greatest(coalesce(older_than_seconds, 3600), 0));
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The oldest 1,000 of the caller's own uploads, of some age, that are attached to nothing.
CREATE OR REPLACE FUNCTION public.rate_ticket(ticket_id uuid, rating integer, request_id uuid, comment text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Rates an own closed ticket, 1 to 5; can be changed for 14 days. Repeating it changes nothing.
CREATE OR REPLACE FUNCTION public.reopen_ticket(ticket_id uuid, request_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  number bigint;
begin
  perform private.require_user();
  if request_id is null then
    perform private.refuse_invalid(
      private.problem('request_id', 'The request id is missing.')
    );
  end if;
  number := private.reopen_ticket(ticket_id, request_id);
  return private.change_json(ticket_id, number);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Reopens a ticket within its organization's time; repeating a request_id changes nothing.
CREATE OR REPLACE FUNCTION public.save_draft(id uuid, version integer, ticket_id uuid DEFAULT NULL::uuid, handling_org_id uuid DEFAULT NULL::uuid, subject text DEFAULT ''::text, description text DEFAULT ''::text, priority text DEFAULT 'medium'::text, body text DEFAULT ''::text, reply_to uuid DEFAULT NULL::uuid, attachments jsonb DEFAULT NULL::jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Saves a draft made from a version (0: a new one); another version in between is a conflict.
CREATE OR REPLACE FUNCTION public.search_tickets(words text[])
 RETURNS SETOF public.tickets
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The caller's own tickets in whose subject or description every word occurs, in any case.
CREATE OR REPLACE FUNCTION public.send_message(id uuid, ticket_id uuid, body text, message_type text DEFAULT 'public'::text, reply_to uuid DEFAULT NULL::uuid, attachments jsonb DEFAULT '[]'::jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
#variable_conflict use_column
declare
  me constant uuid := private.require_user();
  files constant jsonb := coalesce(nullif(send_message.attachments, 'null'), '[]');
  problems jsonb := '[]';
  message public.ticket_messages;
begin
  -- The lock first: from here on nobody else writes in this ticket, so what is found stays true.
  perform private.lock_ticket(send_message.ticket_id);
  if send_message.id is null then
    problems := problems || private.problem('id', 'The id is missing.');
  end if;
  if private.trimmed(coalesce(send_message.body, '')) = '' then
    problems := problems || private.problem('body', 'The message is blank.');
  elsif char_length(send_message.body) > 20000 then
    problems := problems || private.problem('body', 'The message is longer than 20000 characters.');
  end if;
  if coalesce(send_message.message_type, '') not in ('public', 'internal') then
    problems := problems || private.problem('message_type', 'The type is public or internal.');
  end if;
  perform private.refuse_invalid(problems || private.attachments_problems(files));

  -- Looked for before writing: a repetition is answered even when the ticket has been closed since.
  select m.* into message
  from public.ticket_messages m
  where m.id = send_message.id and m.author_id = me;
  if not found then
    insert into public.ticket_messages (id, ticket_id, body, message_type, reply_to)
    values (
      send_message.id, send_message.ticket_id, send_message.body, send_message.message_type,
      send_message.reply_to
    )
    on conflict (id) do nothing;
    if found then
      perform private.complete_message(send_message.id, files);
    end if;
    select m.* into message
    from public.ticket_messages m
    where m.id = send_message.id and m.author_id = me;
  end if;
  if (message.ticket_id, message.body, message.message_type, message.reply_to) is distinct from (
    send_message.ticket_id, send_message.body, send_message.message_type, send_message.reply_to
  ) or private.attachments_key(
    coalesce(private.attachments_of_messages(array[message.id]) -> message.id::text, '[]')
  ) <> private.attachments_key(files)
  then
    perform private.refuse_used_id('id');
  end if;
  return private.sent_json(message.id);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Writes in a ticket; the id is the client's, and repeating it with the same content changes nothing.
CREATE OR REPLACE FUNCTION public.set_ticket_status(ticket_id uuid, status text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  number bigint;
begin
  perform private.require_user();
  number := private.set_ticket_status(ticket_id, status);
  return private.change_json(ticket_id, number);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Staff: sets open, in-progress or closed.
CREATE OR REPLACE FUNCTION public.submit_draft(id uuid, version integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Makes the ticket or the message that a draft holds, under its id; the draft is gone after it.
CREATE OR REPLACE FUNCTION public.ticket_changes(since bigint DEFAULT NULL::bigint, after_id uuid DEFAULT NULL::uuid, after_change bigint DEFAULT NULL::bigint, max_tickets integer DEFAULT 100)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- Your own tickets that changed since a horizon, and the horizon to ask from next time.
CREATE OR REPLACE FUNCTION public.ticket_counts()
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- How many of the caller's own tickets are in each status, and unread.
CREATE OR REPLACE FUNCTION public.ticket_events_after(ticket_id uuid, after_seq bigint, max_events integer DEFAULT 200)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The events above a number, each with its message, and the ticket as of the same moment.
CREATE OR REPLACE FUNCTION public.ticket_events_before(ticket_id uuid, before_seq bigint, max_events integer DEFAULT 50)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin
  perform private.visible_ticket(ticket_id);
  return private.events_before(ticket_id, before_seq, max_events, true);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The last events below a number, each with its message, oldest first.
CREATE OR REPLACE FUNCTION public.ticket_heads(ticket_ids uuid[])
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The number of the last event of each of these tickets; what you do not see is left out.
CREATE OR REPLACE FUNCTION public.ticket_messages_before(ticket_id uuid, before_seq bigint, max_messages integer DEFAULT 50)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin
  perform private.visible_ticket(ticket_id);
  return private.messages_before(ticket_id, before_seq, max_messages);
end
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- The last messages below a number, oldest first.
CREATE OR REPLACE FUNCTION public.ticket_thread(ticket_id uuid, message_limit integer DEFAULT 50, event_limit integer DEFAULT 50)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
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
$function$
-- granted: authenticated EXECUTE, service_role EXECUTE
-- A ticket with its organization, last messages and events, and what the caller may do with it.
