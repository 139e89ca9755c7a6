"""Keep a copy of all your tickets: run it every day, it fetches only what is new.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default).
"""

import os
import sys

from customer_tickets import CustomerTickets, ExportDamaged, verify_export

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main(folder: str) -> None:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        report = tickets.export(folder)
    new = report.tickets - report.skipped
    print(f"{report.tickets} tickets, {new} of them new or changed, {report.bytes:,} bytes")
    for attachment_id in report.missing:
        print(f"attachment {attachment_id} is not on the server any more")
    for ticket_id in report.incomplete:
        print(f"the server lacks a part of the history of ticket {ticket_id}")
    try:
        verify_export(folder)
    except ExportDamaged as error:
        sys.exit(f"{error}: {', '.join(error.files)}")
    print("every file is what the manifest says")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "my-tickets")
