"""What the gateway costs: the same requests to PostgREST directly and through the gateway.

Run with `python bench/gateway.py`. One client, one connection that is kept, one request after the
other; the two ways take turns, so that whatever else the machine does meets both.
"""

import argparse
import http.client
import statistics
import time
from collections.abc import Mapping

from customer_tickets.devstack import LocalStack

WANTED = 1.5


def seconds_each(
    port: int, method: str, path: str, headers: Mapping[str, str], body: bytes | None, count: int
) -> list[float]:
    """The time of each of `count` requests over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    took: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - started)
        assert answer.status < 300, answer.status
    connection.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=200, help="in each round, each way")
    arguments = parser.parse_args()
    with LocalStack.start(seed=True) as stack:
        user = {
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {_token(stack)}",
            "Content-Type": "application/json",
        }
        cases: list[tuple[str, str, str, bytes | None]] = [
            ("one row", "GET", "/profiles?select=user_id,role&limit=1", None),
            ("20 tickets", "GET", "/tickets?select=*&limit=20", None),
            ("a function", "POST", "/rpc/ticket_counts", b"{}"),
        ]
        print(f"{'milliseconds, median':<22} {'directly':>9} {'gateway':>9} {'times':>6}")
        for name, method, path, body in cases:
            direct: list[float] = []
            through: list[float] = []
            for _ in range(arguments.rounds):
                direct += seconds_each(
                    stack.rest_port, method, path, user, body, arguments.requests
                )
                through += seconds_each(
                    stack.port, method, f"/rest/v1{path}", user, body, arguments.requests
                )
            one, other = statistics.median(direct), statistics.median(through)
            verdict = "" if other <= WANTED * one else f"   more than {WANTED}"
            print(
                f"{name:<22} {one * 1000:>9.2f} {other * 1000:>9.2f} {other / one:>6.2f}{verdict}"
            )


def _token(stack: LocalStack) -> str:
    import psycopg

    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "select id from auth.users where email = 'ana@example.com'"
        ).fetchone()
    assert row is not None
    return stack.mint_token(row[0])


if __name__ == "__main__":
    main()
