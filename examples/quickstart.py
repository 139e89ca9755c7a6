"""A customer opens a ticket and talks in it, live. `make demo` runs this on a local Supabase.

On a project of your own: set SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY, and change the people.
"""

import os
import sys
import time
from uuid import uuid4

from supabase import Client, create_client

from customer_tickets import (
    CustomerTickets,
    FeedStopped,
    MessageAdded,
    StatusChanged,
    TicketClosed,
    TicketClosedError,
    TicketEvent,
    TicketFeed,
    TicketRated,
    TicketReopened,
)

PAUSE = float(os.environ.get("QUICKSTART_PAUSE", "0.4"))


def main() -> None:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in("ana@example.com", "secret123")
        chapter("Ana signs in and looks for the organization")
        for organization in tickets.organizations.list():
            tell("ana", f"I could write to {organization.name}")
        acme = tickets.organizations.named("Acme")

        chapter("She opens a ticket")
        ticket = tickets.create(
            organization=acme,
            subject="Refund for order 12345",
            description="The **blue** one arrived broken.",
            priority="high",
        )
        tell("ana", f"{ticket.subject!r} is {ticket.status}, priority {ticket.priority}")

        thread = tickets.thread(ticket)  # one request: ticket, messages, history, permissions
        with thread.live() as events:
            chapter("She watches it live, while Eva of Acme answers")
            wait_until_live(events)
            eva = employee("eva@example.com", "secret123")
            eva.rpc(
                "set_ticket_status", {"ticket_id": str(ticket.id), "status": "in-progress"}
            ).execute()
            show(events)
            answer(eva, str(ticket.id), "Sorry about that! Can you send us a photo?")
            show(events)

            chapter("Ana replies and closes the ticket")
            thread.send("Never mind, the *second* one in the box is fine.")
            show(events)
            thread.close_ticket(reason="solved")
            show(events)

            chapter("A closed ticket takes no messages")
            try:
                thread.send("One more thing ...")
            except TicketClosedError as error:
                tell("error", f"{type(error).__name__}: {error.message} {error.hint}")
            until = thread.can.reopen.until
            tell("ana", f"I may reopen it until {until:%d %B %Y}" if until else "too late")

            chapter("So she reopens it")
            thread.reopen_ticket()
            show(events)
            thread.send("One more thing: thank you!")
            show(events)

            chapter("She drafts a reply, which is kept on the server until she submits it")
            with tickets.drafts.edit(ticket=ticket, every=0.2) as editor:
                editor.change(text="By the way,")
                editor.change(text="By the way, the box was **fine**.")
                tell("draft", f"{editor.state}, a request follows")
            tell("draft", f"{editor.state}, version {editor.draft.version if editor.draft else 0}")
            editor.submit()
            show(events)

            chapter("She closes the ticket again and rates it")
            thread.close_ticket()
            show(events)
            thread.rate(5, "Quick and friendly")
            show(events)

        chapter("Later she searches for it")
        for found in tickets.page(search="ORDER 12345", sort="-updated_at", size=2).items:
            tell("ana", f"{found.subject} ({found.status})")

        chapter("What the database remembers, in the order it happened")
        for event in thread.history:
            print(f"      {event.seq}  {event.at:%H:%M:%S}  {describe(event)}")
        print(f"\n  {tickets.counts()}\n")


def employee(email: str, password: str) -> Client:
    """The other side has tools of its own; here, plain supabase-py stands for them."""
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"])
    client.auth.sign_in_with_password({"email": email, "password": password})
    return client


def answer(client: Client, ticket_id: str, text: str) -> None:
    message = {"id": str(uuid4()), "ticket_id": ticket_id, "body": text}
    client.rpc("send_message", message).execute()


def wait_until_live(events: TicketFeed) -> None:
    deadline = time.monotonic() + 20
    while events.state != "live" and time.monotonic() < deadline:
        events.next(timeout=0.05)
    tell("live", f"the feed is {events.state}")


def show(events: TicketFeed) -> None:
    """Print the next event; it comes however the network is doing."""
    asked = time.monotonic()
    event = events.next(timeout=60)
    if event is None or isinstance(event, FeedStopped):
        raise SystemExit(f"the feed ended: {event}")
    waited = (time.monotonic() - asked) * 1000
    tell("live", f"{event.seq}. {describe(event)}  ({events.state}, after {waited:.0f} ms)")
    time.sleep(PAUSE)


def describe(event: TicketEvent) -> str:
    match event:
        case MessageAdded(message=message):
            return f"{message.author_name} ({message.author_role}) writes: {message.body}"
        case StatusChanged(before=before, after=after):
            return f"{event.actor_name} changes the status from {before} to {after}"
        case TicketClosed(reason=reason):
            return f"{event.actor_name} closes the ticket" + (f": {reason}" if reason else "")
        case TicketReopened():
            return f"{event.actor_name} reopens the ticket"
        case TicketRated(rating=rating):
            return f"{event.actor_name} rates it {rating} of 5"
        case _:
            return f"{event.actor_name}: {event.kind}"


def chapter(text: str) -> None:
    print(f"\n  {text}", flush=True)
    time.sleep(PAUSE)


def tell(who: str, text: str) -> None:
    print(f"{who:>9} | {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
