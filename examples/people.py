"""Ana and Eva are at the same ticket: who is here, who types. On a local Supabase with its seed.

Ana uses this library. Eva, of the staff, has tools of her own: here, supabase-py's Realtime.
"""

import asyncio
import os

from supabase import acreate_client

from customer_tickets import AsyncCustomerTickets, AsyncPeople


async def main() -> None:
    async with AsyncCustomerTickets.from_env() as tickets:
        await tickets.sign_in("ana@example.com", "secret123")
        acme = await tickets.organizations.named("Acme")
        ticket = await tickets.create(organization=acme, subject="Is anybody there?")
        thread = await tickets.thread(ticket)
        async with thread.people() as people:
            eva = asyncio.create_task(employee(str(ticket.id)))
            await show_until_gone(people)
            await eva
        print(f"closed: {people.state}")


async def show_until_gone(people: AsyncPeople) -> None:
    async for picture in people:
        here = [person.name for person in picture.here]
        print("here:", here, "typing:", [person.name for person in picture.typists])
        if here:
            await people.typing()  # an editor calls this at every key
        else:
            return


async def employee(ticket_id: str) -> None:
    """Come, type, and go."""
    client = await acreate_client(
        os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"]
    )
    session = await client.auth.sign_in_with_password(
        {"email": "eva@example.com", "password": "secret123"}
    )
    assert session.user is not None
    channel = client.channel(
        f"ticket:{ticket_id}:presence",
        {
            "config": {
                "private": True,
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": session.user.id, "enabled": True},
            }
        },
    )
    heard = asyncio.Event()
    channel.on_broadcast("typing", lambda _: heard.set())
    await channel.subscribe()
    await channel.track({"name": "Eva"})
    await asyncio.wait_for(heard.wait(), 10)
    print("Eva sees that Ana types")
    await channel.send_broadcast("typing", {"user_id": session.user.id, "name": "Eva"})
    await asyncio.sleep(1)
    await client.remove_all_channels()
    await client.auth.sign_out()


if __name__ == "__main__":
    asyncio.run(main())
