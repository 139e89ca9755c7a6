"""What the benches of live threads share: people, tickets, a paced writer, figures."""

import json
import statistics
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg

from customer_tickets.devstack import LocalStack

PASSWORD = "a password of benches"
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class World:
    """One customer, one employee, and where they are."""

    stack: LocalStack
    organization: UUID
    ana: UUID
    email: str
    eva: UUID

    def tickets(self, count: int) -> list[UUID]:
        """Make so many tickets of the customer's, straight in the database."""
        made = [uuid.uuid4() for _ in range(count)]
        with psycopg.connect(self.stack.database_url) as connection:
            connection.cursor().executemany(
                "insert into public.tickets (id, subject, user_id, handling_org_id)"
                " values (%s, 'A ticket', %s, %s)",
                [(ticket, self.ana, self.organization) for ticket in made],
            )
        return made


def populated(stack: LocalStack) -> World:
    """Make the people."""
    word = uuid.uuid4().hex[:8]
    email = f"ana-{word}@example.com"
    ana = stack.create_user(email, PASSWORD, display_name="Ana")
    eva = stack.create_user(f"eva-{word}@example.com", PASSWORD, display_name="Eva")
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "insert into public.organizations (name) values (%s) returning id", [f"Acme {word}"]
        ).fetchone()
        assert row is not None
        connection.execute(
            "update public.profiles set role = 'employee', org_id = %s where user_id = %s",
            [row[0], eva],
        )
    return World(stack, row[0], ana, email, eva)


def write(
    connection: psycopg.Connection, world: World, ticket: UUID, text: str = "A message"
) -> tuple[float, float]:
    """Commit one message of the employee's; returns the clock before and after the commit."""
    connection.execute(
        "insert into public.ticket_messages (id, ticket_id, body, author_id, message_type)"
        " values (%s, %s, %s, %s, 'public')",
        [uuid.uuid4(), ticket, text, world.eva],
    )
    before = time.monotonic()
    connection.commit()
    return before, time.monotonic()


def spread(seconds: list[float]) -> dict[str, float]:
    """Summarize latencies, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "count": len(seconds),
        "median_ms": round(1000 * statistics.median(seconds), 2),
        "p95_ms": round(1000 * cuts[94], 2),
        "p99_ms": round(1000 * cuts[98], 2),
        "most_ms": round(1000 * max(seconds), 2),
    }


def save(name: str, found: object) -> None:
    """Keep what was found as `bench/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
