"""The storage server of the local stack: buckets, and objects whose rows the policies guard.

Run it with `python -m customer_tickets.devstack.storage`. It answers what Supabase Storage answers,
so that the ordinary clients work on it unchanged. Image transformations, resumable (TUS) uploads
and the S3 protocol are not served.

Pure: `errors`, `names`, `ranges`, `signing`, `caller`, `rows`, `asked`. With I/O, from the bottom
up: `database`, `files`, `project`, `receiving`, `catalog`, `uploads`, `downloads`, `listing`,
`objects`, `buckets`, `server`.
"""
