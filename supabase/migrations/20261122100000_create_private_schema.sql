-- Schema private: what the database does on behalf of API users and what its own functions share.
-- It is not exposed by PostgREST, and anonymous callers may not even name what is in it.
-- Also here: the refusals, SQLSTATE class TK, which the library translates into its own errors.

create schema private;
revoke all on schema private from public, anon, authenticated, service_role;
grant usage on schema private to authenticated, service_role;

-- What Python's str.strip() takes away, so that library and database agree on what is blank.
create function private.trimmed(value text) returns text
language plpgsql immutable parallel safe set search_path = ''
as $$
begin
  return btrim(value, E' \t\n\u000b\f\r\u001c\u001d\u001e\u001f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003'
    '\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000');
end
$$;

create function private.refuse(code text, message text, hint text, detail text default '')
returns void
language plpgsql set search_path = ''
as $$
begin
  raise exception using
    errcode = refuse.code, message = refuse.message, hint = refuse.hint, detail = refuse.detail;
end
$$;

create function private.problem(field text, message text) returns jsonb
language plpgsql immutable parallel safe set search_path = ''
as $$
begin
  return jsonb_build_array(jsonb_build_object('field', field, 'message', message));
end
$$;

-- Every wrong field in one answer: a form is corrected once, not field by field.
create function private.refuse_invalid(problems jsonb) returns void
language plpgsql set search_path = ''
as $$
begin
  if problems <> '[]' then
    perform private.refuse('TK001', 'The input is not valid.',
      'The detail lists every wrong field with what is wrong with it.', problems::text);
  end if;
end
$$;

-- One text for "does not exist" and "not yours to see": a stranger learns nothing.
create function private.refuse_unknown_ticket() returns void
language plpgsql set search_path = ''
as $$
begin
  perform private.refuse('TK002', 'There is no such ticket.',
    'It does not exist, or it is not visible to the signed-in user.');
end
$$;

create function private.refuse_closed() returns void
language plpgsql set search_path = ''
as $$
begin
  perform private.refuse('TK003', 'The ticket is closed.',
    'Reopen it; when the time for that is over, open a new ticket.');
end
$$;

create function private.refuse_used_id(field text) returns void
language plpgsql set search_path = ''
as $$
begin
  perform private.refuse('23505', format('This %s has been used for something else.', field),
    'Make a new random UUID for each new thing; repeat one only with the very same content.');
end
$$;

-- Backends (a secret key, the SQL editor) carry no user; API users always do.
create function private.is_backend() returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return (select auth.uid()) is null
    and coalesce((select auth.role()), '') not in ('anon', 'authenticated');
end
$$;

create function private.require_user() returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  me constant uuid := (select auth.uid());
begin
  if me is null then
    perform private.refuse('TK006', 'Nobody is signed in.', 'Sign in first.');
  end if;
  return me;
end
$$;

revoke all on all functions in schema private from public, anon, authenticated, service_role;
grant execute on function private.trimmed(text) to authenticated, service_role;
grant execute on function private.refuse(text, text, text, text) to authenticated, service_role;
grant execute on function private.problem(text, text) to authenticated, service_role;
grant execute on function private.refuse_invalid(jsonb) to authenticated, service_role;
grant execute on function private.refuse_unknown_ticket() to authenticated, service_role;
grant execute on function private.refuse_closed() to authenticated, service_role;
grant execute on function private.refuse_used_id(text) to authenticated, service_role;
grant execute on function private.require_user() to authenticated, service_role;
