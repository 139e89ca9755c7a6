"""What must hold for every table, function and policy, those of tomorrow too."""

import pytest

from sql.world import World

# Each finds what breaks its rule; the names of the tests are the rules.
LINTS = {
    "every table has row level security": """
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p') and not c.relrowsecurity
          and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    """,
    "every table has a primary key": """
        select c.oid::regclass::text from pg_class c
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
          and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
    """,
    "every function has an empty search_path": """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not coalesce(p.proconfig, '{}') @> array['search_path=""']
    """,
    "no definer function is in an exposed schema": """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef
    """,
    "nothing is granted to anon or to everybody": """
        select c.oid::regclass::text from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace = 'public'::regnamespace
          and (a.grantee = 0 or a.grantee = 'anon'::regrole)
        union all
        select p.oid::regprocedure::text
        from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and (a.grantee = 0 or a.grantee = 'anon'::regrole)
        union all
        select t.attrelid::regclass || '.' || t.attname
        from pg_class c, pg_attribute t, aclexplode(t.attacl) a
        where c.oid = t.attrelid and c.relnamespace = 'public'::regnamespace
          and a.grantee in (0, 'anon'::regrole)
        union all
        select n.nspname from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname = 'private' and a.grantee in (0, 'anon'::regrole)
    """,
    "authenticated is granted columns, never whole tables": """
        select c.oid::regclass || ' ' || a.privilege_type
        from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
          and a.grantee = 'authenticated'::regrole
    """,
    "every policy is for authenticated alone, and permissive": """
        select p.tablename || ': ' || p.policyname from pg_policies p
        where p.schemaname in ('public', 'storage')
          and (p.roles <> '{authenticated}' or p.permissive <> 'PERMISSIVE')
    """,
    "one policy per table and verb": """
        select p.tablename || ' ' || p.cmd from pg_policies p
        where p.schemaname in ('public', 'storage') group by p.tablename, p.cmd having count(*) > 1
    """,
    # But for what must be asked of each object: whether it is attached.
    "policies ask who it is once per query, never per row": """
        select p.tablename || ': ' || p.policyname
        from pg_policies p, lateral (values (p.qual), (p.with_check)) as x (expression)
        where p.schemaname in ('public', 'storage')
          and regexp_replace(
            expression, 'SELECT (auth|private)\\.|private\\.may_remove_upload\\(', '', 'g'
          ) ~ '(auth|private)\\.'
    """,
    # Other forms look equal and cost 100 to 1,000 times more once there are many tickets.
    "staff are asked for as a set in every policy, which keeps the order of an index": """
        select p.tablename || ': ' || p.policyname
        from pg_policies p, lateral (values (p.qual), (p.with_check)) as x (expression)
        where p.schemaname in ('public', 'storage')
          and replace(expression, 'IN ( SELECT private.staff_org_ids() ', '') ~ 'staff_org_ids\\('
    """,
    "every foreign key that is deleted through is indexed": """
        select k.conrelid::regclass || ' ' || k.conname from pg_constraint k
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace
          and not exists (
            select from pg_index i
            where i.indrelid = k.conrelid and i.indisvalid
              and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] = k.conkey
          )
    """,
    "no index repeats the beginning of another": """
        select a.indexrelid::regclass::text from pg_index a join pg_index b
          on a.indrelid = b.indrelid and a.indexrelid <> b.indexrelid and a.indpred is null
            and b.indpred is null and not a.indisunique
            and (b.indkey::int2[])[0:a.indnkeyatts - 1] = (a.indkey::int2[])[0:]
        join pg_class c on c.oid = a.indrelid and c.relnamespace = 'public'::regnamespace
    """,
    "every table and every function of the API is described": """
        select c.oid::regclass::text from pg_class c
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
          and obj_description(c.oid, 'pg_class') is null
        union all
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
    """,
    "what changes nothing says so: reading functions are stable": """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname like 'ticket\\_%'
          and p.provolatile <> 's'
    """,
    "no extension is needed": """
        select e.extname from pg_extension e where e.extname <> 'plpgsql'
    """,
}


@pytest.mark.parametrize("rule", LINTS)
def test_rule(world: World, rule: str) -> None:
    with world.backend() as backend:
        assert [row[0] for row in backend.rows(LINTS[rule])] == []


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        ("every table has row level security", "create table public.t (id int primary key)"),
        ("every table has a primary key", "create table public.t (id int)"),
        (
            "every function has an empty search_path",
            "create function private.f() returns int language sql return 1",
        ),
        (
            "no definer function is in an exposed schema",
            "create function public.f() returns int language sql security definer return 1",
        ),
        ("nothing is granted to anon or to everybody", "grant select on public.tickets to anon"),
        (
            "nothing is granted to anon or to everybody",
            "grant select (id) on public.tickets to anon",
        ),
        (
            "nothing is granted to anon or to everybody",
            "create function private.f() returns int language sql return 1",
        ),
        ("nothing is granted to anon or to everybody", "grant usage on schema private to public"),
        (
            "authenticated is granted columns, never whole tables",
            "grant delete on public.tickets to authenticated",
        ),
        (
            "every policy is for authenticated alone, and permissive",
            "create policy x on public.tickets using (true)",
        ),
        (
            "one policy per table and verb",
            "create policy x on public.tickets for select to authenticated using (true)",
        ),
        (
            "policies ask who it is once per query, never per row",
            "create policy x on public.tickets for delete to authenticated using (auth.uid() = id)",
        ),
        (
            "staff are asked for as a set in every policy, which keeps the order of an index",
            "create policy x on public.tickets using (id = (select private.staff_org_ids()))",
        ),
        (
            "every foreign key that is deleted through is indexed",
            "drop index public.ticket_reads_ticket_id_idx",
        ),
        (
            "no index repeats the beginning of another",
            "create index on public.tickets (user_id)",
        ),
        (
            "every table and every function of the API is described",
            "comment on table public.tickets is null",
        ),
        (
            "what changes nothing says so: reading functions are stable",
            "alter function public.ticket_counts() volatile",
        ),
    ],
)
def test_rule_is_noticed_when_broken(world: World, rule: str, breach: str) -> None:
    with world.acting(None, role="postgres", keep=False) as backend:
        backend.changed(breach)
        assert backend.rows(LINTS[rule])
