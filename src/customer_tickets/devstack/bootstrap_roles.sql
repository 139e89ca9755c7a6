-- The roles of a Supabase project. They belong to the whole server, so this runs once per server,
-- by the superuser supabase_admin, before any database of the project exists.

-- Migrations and people connect as postgres, which is not a superuser, on hosted projects neither:
-- what fails there has to fail here.
create role postgres login createdb createrole replication bypassrls;

-- What a request runs as: no key or a publishable one, a signed-in user, a secret key. A role that
-- is granted to one of them is theirs at once, as there.
create role anon nologin;
create role authenticated nologin;
create role service_role nologin bypassrls;

-- What PostgREST connects as; it can become one of the three and is nothing by itself.
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;

-- What the auth server connects as. It sees nothing outside schema auth, so a trigger function on
-- auth.users that writes elsewhere must be security definer. Past the policies of its own tables by
-- an attribute, because `supabase db reset` drops every policy.
create role supabase_auth_admin login noinherit bypassrls;

-- As there: data is loaded and repaired with the triggers off.
grant set on parameter session_replication_role to postgres;

grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
