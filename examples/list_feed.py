"""Follow the whole list, and go on where the last run stopped.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os
import sys
from pathlib import Path

from customer_tickets import CustomerTickets, FeedStopped

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main(path: Path, seconds: float) -> None:
    saved = path.read_text() if path.exists() else None
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        with tickets.live(after=saved) as changes:
            print("from now on" if saved is None else "from where the last run stopped")
            while (change := changes.next(timeout=seconds)) is not None:
                if isinstance(change, FeedStopped):
                    sys.exit(f"no more changes: {change.reason}")
                ticket = change.ticket
                print(f"{ticket.status:<12}{'unread  ' if ticket.unread else ''}{ticket.subject}")
                path.write_text(changes.position)
            path.write_text(changes.position)
    print(f"nothing new for {seconds:g} seconds")


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv[1:]))
    main(Path(arguments.get(0, "position.txt")), float(arguments.get(1, "60")))
