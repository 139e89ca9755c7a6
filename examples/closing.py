"""Close a ticket, rate it, reopen it while that is possible, follow it up with another.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os

from customer_tickets import CustomerTickets, TicketThread

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def show(thread: TicketThread) -> None:
    print(f"{thread.ticket.status}:")
    for name in ("reply", "edit", "close", "reopen", "rate", "follow_up"):
        may = getattr(thread.can, name)
        until = f", until {may.until:%d %B}" if may.until else ""
        print(f"  {name:<10}{'yes' if may else 'no: ' + str(may.reason)}{until}")


def main() -> None:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        acme = tickets.organizations.named("Acme")
        thread = tickets.thread(tickets.create(organization=acme, subject="The lamp flickers"))
        thread.edit(priority="high")
        show(thread)
        thread.close_ticket(reason="it was the bulb")
        thread.rate(4, "Quick answers")
        show(thread)

        follow_up = tickets.create(
            organization=acme, subject="The new bulb flickers", follow_up_of=thread.ticket
        )
        print("followed up:", follow_up.follow_up_of == thread.ticket.id)

        thread.reopen_ticket()
        rating = thread.rate(3)  # for 14 days, also when it is open again
        print(f"{thread.ticket.status} again, rated {rating.rating}")
        for event in thread.history:
            print(f"  {event.seq}. {event.kind}")


if __name__ == "__main__":
    main()
