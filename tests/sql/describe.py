"""A database's schema as text, from the catalog: the same for every version of Postgres."""

import psycopg
from psycopg.rows import TupleRow

# Ours, and what we put on tables of others.
_SCHEMAS = "(select oid from pg_namespace where nspname in ('public', 'private'))"

_GRANTS = """
    select string_agg(
        coalesce(nullif(a.grantee, 0)::regrole::text, 'public') || ' ' || a.privilege_type,
        ', ' order by coalesce(nullif(a.grantee, 0)::regrole::text, 'public'), a.privilege_type
    ) from aclexplode({acl}) a where a.grantee <> {owner}
"""

_PARTS = [
    (
        "schemas",
        "select 'schema ' || n.nspname || coalesce(': ' || ("
        + _GRANTS.format(acl="n.nspacl", owner="n.nspowner")
        + "), '') from pg_namespace n"
        " where n.nspname in ('public', 'private') order by 1",
    ),
    (
        "tables",
        f"""
        select 'table ' || c.oid::regclass
            || case when c.relrowsecurity then ' with row level security' else '' end
            || coalesce(' (' || array_to_string(c.reloptions, ', ') || ')', '')
            || coalesce(': ' || ({_GRANTS.format(acl="c.relacl", owner="c.relowner")}), '')
            || coalesce(E'\\n  -- ' || obj_description(c.oid, 'pg_class'), '')
        from pg_class c
        where c.relnamespace in {_SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm', 'S') order by 1
        """,
    ),
    (
        "columns",
        f"""
        select c.oid::regclass || '.' || a.attname || ' '
            || format_type(a.atttypid, a.atttypmod)
            || case when a.attnotnull then ' not null' else '' end
            || case when a.attgenerated <> '' then ' generated' else '' end
            || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
            || coalesce(': ' || ({_GRANTS.format(acl="a.attacl", owner="c.relowner")}), '')
            || coalesce(E'\\n  -- ' || col_description(c.oid, a.attnum), '')
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace in {_SCHEMAS} and c.relkind in ('r', 'p', 'v', 'm')
        order by c.relname, a.attnum
        """,
    ),
    (
        "constraints",
        f"""
        select k.conrelid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
        from pg_constraint k
        where k.connamespace in {_SCHEMAS} and k.contype in ('c', 'f', 'p', 'u', 'x') order by 1
        """,
    ),
    (
        "indexes",
        f"""
        select pg_get_indexdef(i.indexrelid) from pg_index i
        join pg_class c on c.oid = i.indexrelid and c.relnamespace in {_SCHEMAS} order by 1
        """,
    ),
    (
        "policies",
        """
        select format('policy %I on %I.%I for %s to %s', policyname, schemaname, tablename,
                lower(cmd), array_to_string(roles, ', '))
            || coalesce(E'\\n  using ' || qual, '')
            || coalesce(E'\\n  with check ' || with_check, '')
        from pg_policies where schemaname in ('public', 'private', 'realtime', 'storage') order by 1
        """,
    ),
    (
        "triggers",
        """
        select pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' else ' (disabled)' end
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where not t.tgisinternal
          and c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace) order by 1
        """,
    ),
    (
        "functions",
        f"""
        select rtrim(pg_get_functiondef(p.oid), E'\\n')
            || coalesce(
                E'\\n-- granted: ' || ({_GRANTS.format(acl="p.proacl", owner="p.proowner")}), ''
            )
            || coalesce(E'\\n-- ' || obj_description(p.oid, 'pg_proc'), '')
        from pg_proc p where p.pronamespace in {_SCHEMAS} order by p.oid::regprocedure::text
        """,
    ),
]


def described(connection: psycopg.Connection[TupleRow]) -> str:
    """The schema as a readable text in a fixed order; equal texts are equal schemas."""
    connection.execute("select set_config('search_path', '', false)")
    parts = []
    for name, query in _PARTS:
        rows = connection.execute(query.encode()).fetchall()
        parts.append(f"-- {name}\n\n" + "\n".join(row[0] for row in rows) + "\n")
    return "\n".join(parts)
