"""Sign in once, stay signed in: sessions in a file, and sessions that were begun elsewhere.

Run it twice: the second time it asks for no password. SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY
name the project; TICKETS_EMAIL and TICKETS_PASSWORD the person (ana of the seed by default).
"""

import os
import sys

from supabase import create_client

from customer_tickets import CustomerTickets, FileStore, SignInRequired

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main(path: str) -> None:
    with CustomerTickets.from_env(store=FileStore(path)) as tickets:
        try:
            counts = tickets.counts()
            print("signed in by the session in the file")
        except SignInRequired:
            tickets.sign_in(EMAIL, PASSWORD)
            counts = tickets.counts()
            print("signed in with the password")
        print(f"{counts.open} open tickets")

    # A program that has a supabase client already shares its session. It stays that client's.
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"])
    client.auth.sign_in_with_password({"email": EMAIL, "password": PASSWORD})
    with CustomerTickets.from_supabase(client) as tickets:
        print(f"{tickets.counts().open} open tickets, by the supabase client's session")
        tickets.sign_out()
        print("signed out there too:", client.auth.get_session() is None)
    client.auth.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "~/.config/customer-tickets/session.json")
