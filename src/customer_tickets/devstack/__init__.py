"""The local Supabase: a whole stack on one machine, without Docker, for development and tests."""
