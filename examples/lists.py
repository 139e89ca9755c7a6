"""Search, filter, sort and turn pages, forward, backward and by a cursor, as a web page would.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os
import sys

from customer_tickets import CustomerTickets, TicketPage

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def show(title: str, page: TicketPage | None) -> None:
    print(title)
    for ticket in page.items if page is not None else ():
        print(f"  {ticket.status:<12}{ticket.priority:<8}{ticket.subject}")


def main(words: str) -> None:
    with CustomerTickets.from_env(cache=60) as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        found = tickets.page(search=words, sort="-priority", total=True)
        show(f"{found.total} with {words!r}:", found)

        first = tickets.page(sort="-updated_at", size=2)
        show("What something happened to last:", first)
        show("Before that:", first.next())
        if first.next_cursor is not None:
            # What a link of a web page carries: another process goes on there.
            page = tickets.page(sort="-updated_at", size=2, cursor=first.next_cursor)
            back = page.previous()
            print("and back:", back is not None and back.items == first.items)

        unread = [one for one in tickets.all(status=["open", "in-progress"]) if one.unread]
        print(f"{len(unread)} of {tickets.counts().unread} unread tickets are not closed")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "order 12345")
