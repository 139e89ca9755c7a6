"""Write with autosave, find the draft on another device, settle a conflict, submit it once.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os

from customer_tickets import CustomerTickets, DraftConflict

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main() -> None:
    with CustomerTickets.from_env() as laptop, CustomerTickets.from_env() as phone:
        laptop.sign_in(EMAIL, PASSWORD)
        phone.sign_in(EMAIL, PASSWORD)
        acme = laptop.organizations.named("Acme")

        with laptop.drafts.edit(every=0.5) as editor:
            for text in ("The", "The lamp", "The lamp flickers"):
                editor.change(subject=text)  # no request: it is saved a while later
            print("on the laptop:", editor.state)
        print("left the window:", editor.state)

        draft = phone.drafts.list()[0]
        print("on the phone:", draft.subject)
        phone.drafts.save(draft, organization=acme, priority="high")

        try:
            laptop.drafts.save(draft, description="Since Monday.")
        except DraftConflict as conflict:
            print("the laptop knew an older version:", conflict.message)
            newest = conflict.newer or laptop.drafts.get(draft.id)
            draft = laptop.drafts.save(newest, description="Since Monday.")

        ticket = laptop.drafts.submit(draft).ticket
        again = phone.drafts.submit(draft).ticket
        print(f"submitted: {ticket.subject}, {ticket.priority}")
        print("twice is once:", again.id == ticket.id)

        thread = laptop.thread(ticket)
        laptop.drafts.save(ticket=ticket, text="It has stopped, thank you.")
        thread.refresh()
        if thread.draft is not None:
            laptop.drafts.discard(thread.draft)
            print("the reply was thrown away")


if __name__ == "__main__":
    main()
