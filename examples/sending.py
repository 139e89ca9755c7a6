"""Show what you send at once: pending, confirmed, or failed and sent again.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os
import time

from customer_tickets import CustomerTickets, CustomerTicketsError, TicketThread

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def show(thread: TicketThread) -> None:
    for message in thread.messages:
        print(f"  {message.state:<10}{message.text}")


def main() -> None:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        ticket = tickets.create(
            organization=tickets.organizations.named("Acme"), subject="The lamp is broken"
        )
        thread = tickets.thread(ticket)

        thread.send("It **fell** down.", wait=False)
        show(thread)
        while thread.messages[-1].state == "pending":
            time.sleep(0.01)
        show(thread)

        elsewhere = tickets.thread(ticket)  # another window, where the ticket is closed
        elsewhere.close_ticket()
        try:
            thread.send("Can you send a new one?", reply_to=thread.messages[0])
        except CustomerTicketsError as error:
            print("not sent:", error.message)
        show(thread)

        elsewhere.reopen_ticket()
        thread.retry(thread.messages[-1])  # the same message: it cannot arrive twice
        show(thread)


if __name__ == "__main__":
    main()
