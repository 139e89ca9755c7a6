"""Attach files with a bar, see them arrive, save them all. Needs the extra `rich` for the bars.

SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project; TICKETS_EMAIL and TICKETS_PASSWORD the
person (ana of the seed by default). Arguments are files; without any, two are made up.
"""

import os
import sys
import tempfile

from customer_tickets import CustomerTickets, InvalidInput, Unavailable, Upload

EMAIL = os.environ.get("TICKETS_EMAIL", "ana@example.com")
PASSWORD = os.environ.get("TICKETS_PASSWORD", "secret123")


def main(paths: list[str]) -> None:
    files: list[str | Upload] = [*paths] or [
        Upload(b"order;state\n7;broken\n", name="orders.csv"),
        Upload(os.urandom(5_000_000), name="video.mp4"),
    ]
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in(EMAIL, PASSWORD)
        try:
            ticket = tickets.create(
                organization=tickets.organizations.named("Acme"),
                subject="The lamp is broken",
                description="See the files.",
                attachments=files,
                progress=True,
            )
        except InvalidInput as error:
            raise SystemExit(f"nothing was sent: {error}") from None
        except Unavailable as error:
            raise SystemExit(f"try again with id={error.write_id}: {error}") from None

        attachments = tickets.thread(ticket).attachments
        with tempfile.TemporaryDirectory() as folder:
            for attachment in attachments:
                path = tickets.attachments.save(attachment, folder, progress=True)
                print(f"{path.name}: {path.stat().st_size:,} bytes, as they were sent")
        for link in tickets.attachments.links(attachments, seconds=60).values():
            print("for a minute at", link.partition("?")[0].rpartition("/")[0])
        print("left over:", tickets.attachments.clean_up())


if __name__ == "__main__":
    main(sys.argv[1:])
