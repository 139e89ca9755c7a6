"""Signing up and leaving."""

import json
from uuid import uuid4

import psycopg

from sql.world import World


def test_deleting_people(world: World) -> None:
    with world.acting(world.eva) as eva:
        eva.call("assign_ticket", ticket_id=world.ticket, employee=world.ada, team=None)
        eva.call("send_message", id=uuid4(), ticket_id=world.ticket, body="Answer")
    with world.backend() as backend:
        backend.changed("delete from auth.users where id in (%s, %s)", world.ada, world.eva)
    with world.acting(world.ana) as ana:
        thread = ana.call("ticket_thread", ticket_id=world.ticket)
        assert thread["messages"][-1]["author_name"] == "Eva"
        assert thread["ticket"]["assigned_employee"] is None
        assert thread["events"][-1]["kind"] == "assigned"
        assert thread["events"][-1]["actor_role"] == "system"
    with world.backend() as backend:
        backend.changed("delete from auth.users where id = %s", world.ana)
        assert backend.value("select count(*) from public.tickets") == 1
        assert backend.value("select count(*) from public.ticket_messages") == 0


def test_sign_up_makes_a_customer_whatever_it_asks_for(world: World) -> None:
    long = "ä" * 500
    wishes = [
        ('{"role": "admin", "display_name": " Eve "}', "eve@example.com", "Eve"),
        (json.dumps({"display_name": long}), "long@example.com", long[:200]),
        ('{"display_name": "  "}', "blank@example.com", "blank"),
        ('"text"', "text@example.com", "text"),
        ("null", None, "Customer"),
    ]
    with world.backend() as backend:
        for metadata, email, name in wishes:
            user = uuid4()
            backend.changed(
                "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
                user,
                email,
                metadata,
            )
            profile = backend.rows(
                "select role, org_id, display_name from public.profiles where user_id = %s", user
            )
            assert profile == [("customer", None, name)]


def test_the_auth_server_can_sign_up(lasting_world: World) -> None:
    user = uuid4()
    with psycopg.connect(
        lasting_world.dsn.replace("//postgres:", "//supabase_auth_admin:")
    ) as auth:
        auth.execute("insert into auth.users (id, email) values (%s, 'new@example.com')", [user])
    with lasting_world.acting(user) as new:
        assert new.rows("select role from public.profiles") == [("customer",)]
