"""The SQL, tested over psycopg on clones of a migrated database, acting by role and claims."""
