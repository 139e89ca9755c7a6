"""The customer's side of support tickets on Supabase."""
