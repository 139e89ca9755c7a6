"""The realtime server of the local stack: channels, broadcasts from the database, presence.

Run it with `python -m customer_tickets.devstack.realtime`. It speaks what Supabase Realtime speaks,
so that the ordinary clients work on it unchanged.

Pure: `frames`, `tokens`, `joining`, `wal`, `presence`, `profile`, `limits`, `faults`. With I/O,
from the bottom up: `database`, `authorize`, `partitions`, `capture`, `hub`, `project`, `history`,
`access`, `admission`, `attendance`, `outbox`, `channel`, `socket`, `api`, `control`, `server`.
"""
