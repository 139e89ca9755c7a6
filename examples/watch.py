"""Print what happens in a ticket, and go on where the last run ended: resume from a file.

    python examples/watch.py TICKET [FILE]

Each event is printed once, however often this is stopped and started, on whatever machine has the
file. SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD
the person (ana of the seed by default). Ctrl-C ends it.
"""

import os
import sys
from pathlib import Path

from customer_tickets import CustomerTickets, CustomerTicketsError, FeedStopped, MessageAdded

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main(ticket: str, place: Path) -> int:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        thread = tickets.thread(ticket)
        with thread.live(after=saved(place)) as events:
            for event in events:
                if isinstance(event, FeedStopped):
                    print(f"no more events: {event.reason}", file=sys.stderr)
                    return 1
                text = event.message.text if isinstance(event, MessageAdded) else ""
                print(event.seq, event.kind, event.actor_name, text, flush=True)
                # After the work, not before: a crash in between repeats the event, never loses it.
                save(place, events.last_seq)
    return 0


def saved(place: Path) -> int:
    return int(place.read_text()) if place.exists() else 0


def save(place: Path, seq: int) -> None:
    # Beside it, then over it: a crash leaves the old number or the new one, never half of one.
    beside = place.with_name(place.name + ".new")
    beside.write_text(str(seq))
    beside.replace(place)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "last_seq")))
    except CustomerTicketsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
