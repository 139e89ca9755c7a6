"""What a list really asks of the database, and how the database answers it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from customer_tickets import AsyncCustomerTickets, UnexpectedAnswer
from customer_tickets.devstack import LocalStack
from fix_stack import People

pytestmark = pytest.mark.anyio

INDEX = "tickets_user_id_created_at_idx"


@pytest.fixture(scope="module")
def explaining(stack: LocalStack) -> Iterator[None]:
    """PostgREST explains its queries while this module runs."""
    with psycopg.connect(stack.postgres.dsn(user="supabase_admin"), autocommit=True) as connection:
        connection.execute("alter role authenticator set pgrst.db_plan_enabled to 'true'")
        connection.execute("notify pgrst, 'reload config'")
        yield
        connection.execute("alter role authenticator reset pgrst.db_plan_enabled")
        connection.execute("notify pgrst, 'reload config'")


@pytest.fixture
def heavy(stack: LocalStack, people: People) -> None:
    """5,000 tickets of ana among 25,000."""
    with psycopg.connect(stack.postgres.dsn(user="supabase_admin")) as connection:
        connection.execute("set local session_replication_role = replica")
        connection.execute(
            "insert into public.tickets (id, user_id, subject, description, status, priority,"
            " handling_org_id, created_at, updated_at, last_seq)"
            " select gen_random_uuid(), case when n %% 5 = 0 then %s else %s end, 'Ticket', '',"
            " 'open', (array['low', 'medium', 'high'])[1 + n %% 3], %s,"
            " now() - n * interval '1 minute', now(), 1 from generate_series(1, 25000) n",
            [people.ana.id, people.ben.id, people.organization_id],
        )
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("analyze public.tickets")


class Explained:
    """Turns every request of a client into one for its plan, and keeps both."""

    def __init__(self, client: AsyncCustomerTickets) -> None:
        self.url = ""
        self.plan: dict[str, Any] = {}
        client._parts.http.event_hooks = {"request": [self._ask], "response": [self._keep]}

    async def _ask(self, request: httpx.Request) -> None:
        self.url = str(request.url)
        request.headers["Accept"] = "application/vnd.pgrst.plan+json; options=analyze"

    async def _keep(self, response: httpx.Response) -> None:
        self.plan = json.loads(await response.aread())[0]["Plan"]

    def nodes(self) -> list[dict[str, Any]]:
        found, waiting = [], [self.plan]
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting += node.get("Plans", [])
        return found


@pytest.mark.parametrize(
    "query", [{}, {"status": "open"}, {"status": ["open", "closed"], "priority": "high"}]
)
@pytest.mark.faults
async def test_a_page_reads_the_index_from_its_place_on(
    stack: LocalStack, people: People, heavy: None, explaining: None, query: dict[str, Any]
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        page = await client.page(**query)
        for _ in range(5):
            following = await page.next()
            assert following is not None
            page = following
        explained = Explained(client)
        for ask in (lambda: client.page(**query), page.next):
            with pytest.raises(UnexpectedAnswer):  # a plan is no page
                await ask()
            assert f"user_id=eq.{people.ana.id}" in explained.url
            assert "offset" not in explained.url
            nodes = explained.nodes()
            scans = [n for n in nodes if n.get("Relation Name") == "tickets"]
            assert [n.get("Index Name") for n in scans] == [INDEX], scans
            assert not any(n["Node Type"] == "Sort" for n in nodes)
            read = scans[0]["Actual Rows"] + scans[0].get("Rows Removed by Filter", 0)
            assert read < 150
