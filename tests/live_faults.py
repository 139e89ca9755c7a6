"""Everything that goes wrong for a live feed, one by one: how, and when all must be well again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from live_harness import Scene
from tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Stage:
    """Where a fault happens: the people, the ticket, the proxy that its readers come through."""

    scene: Scene
    ticket: UUID
    proxy: TcpProxy

    @property
    def topic(self) -> str:
        return f"ticket:{self.ticket}"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        strike: makes it happen; where it also ends it, returns when it is over.
        bar: seconds from then on until every reader is live and has what is written at that moment.
        heal: ends it, if `strike` does not, after the readers were measured.
        options: what the readers' feeds are given. The slow timer is far away, so that it cannot
            hide that nothing else noticed.
    """

    strike: Callable[[Stage], None]
    bar: float
    heal: Callable[[Stage], None] = lambda stage: None
    options: dict[str, Any] = field(default_factory=lambda: {"check_every": 600.0})


def _for_a_while(begin: Callable[[Stage], None], seconds: float) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        begin(stage)
        time.sleep(seconds)
        stage.proxy.heal()

    return strike


def _restart_realtime(stage: Stage) -> None:
    realtime = stage.scene.stack.realtime
    realtime.kill()
    time.sleep(0.7)
    realtime.start()


def _restart_part(name: str) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        part = getattr(stage.scene.stack, name)
        part.kill()
        time.sleep(0.5)
        part.start()

    return strike


def _restart_postgres(stage: Stage) -> None:
    child = stage.scene.stack.postgres.child
    child.stop()
    time.sleep(0.5)
    child.start()


def _spoil(action: Any, times: int, seconds: float = 0.0) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        stage.scene.stack.faults.spoil_rows(action, times=times, topic=stage.topic, seconds=seconds)

    return strike


def _channels(event: Any, message: str = "") -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        stage.scene.stack.faults.spoil_channels(event, topic=stage.topic, message=message)

    return strike


def _close_sockets(code: int | None) -> Callable[[Stage], None]:
    return lambda stage: stage.scene.stack.faults.close_sockets(code)


def _replication(*, running: bool) -> Callable[[Stage], None]:
    return lambda stage: stage.scene.stack.faults.replication(running=running)


def _reset(stage: Stage) -> None:
    stage.scene.stack.faults.reset()


def _huge_frame(stage: Stage) -> None:
    with psycopg.connect(stage.scene.stack.database_url) as connection:
        connection.execute(
            "select realtime.send(jsonb_build_object('pad', repeat('x', 2000000)), 'event', %s)",
            [stage.topic],
        )


def _odd_doorbells(stage: Stage) -> None:
    """Numbers far ahead, none at all, and things that are no numbers."""
    with psycopg.connect(stage.scene.stack.database_url) as connection:
        for payload in ('{"seq": 100000}', "{}", '{"seq": "x"}', '{"seq": -5}', '{"seq": null}'):
            connection.execute(
                "select realtime.send(%s::jsonb, 'event', %s)", [payload, stage.topic]
            )


def _spoil_requests(spoil: Callable[[Any, str], None]) -> Callable[[Stage], None]:
    def strike(stage: Stage) -> None:
        spoil(stage.scene.stack.faults, "/rest/v1/rpc/ticket_events_after")

    return strike


def _latency(stage: Stage) -> None:
    stage.proxy.latency = 0.15


def _several_at_once(stage: Stage) -> None:
    _spoil("drop", 3)(stage)
    _spoil("repeat", 3)(stage)
    cutting = threading.Thread(target=stage.proxy.cut)
    cutting.start()
    _close_sockets(1012)(stage)
    cutting.join()


# The slow timer, where it alone can find out.
_SOON = {"check_every": 1.0}

FAULTS: dict[str, Fault] = {
    "cut": Fault(lambda stage: stage.proxy.cut(), 1.0),
    "unreachable for a while": Fault(_for_a_while(lambda stage: stage.proxy.refuse(), 1.5), 2.0),
    "closed by the server with 1001": Fault(_close_sockets(1001), 1.0),
    "closed by the server with 1012": Fault(_close_sockets(1012), 1.0),
    "broken by the server without a word": Fault(_close_sockets(None), 1.0),
    "half-open": Fault(lambda stage: stage.proxy.strand(), 10.0),
    "latency": Fault(_latency, 2.0, lambda stage: stage.proxy.heal()),
    "accept, then close": Fault(_for_a_while(lambda stage: stage.proxy.slam(), 3.0), 3.0),
    "realtime killed and restarted": Fault(_restart_realtime, 2.0),
    "gateway killed and restarted": Fault(_restart_part("gateway"), 2.0),
    "PostgREST killed and restarted": Fault(_restart_part("rest"), 2.0),
    # Realtime follows the log again a moment later, and tells nobody what it missed.
    "Postgres restarted": Fault(_restart_postgres, 2.5, options=_SOON),
    "broadcasts dropped": Fault(_spoil("drop", 100), 1.5, _reset, _SOON),
    "broadcasts repeated": Fault(_spoil("repeat", 100), 1.0, _reset),
    "broadcasts swapped": Fault(_spoil("swap", 100), 1.5, _reset, _SOON),
    "broadcasts delayed": Fault(_spoil("delay", 100, 0.5), 1.5, _reset),
    "replication stopped without telling": Fault(
        _replication(running=False), 1.5, _replication(running=True), _SOON
    ),
    "a stale phx_close": Fault(_channels("stale_close"), 1.0),
    "phx_error": Fault(_channels("error"), 1.0),
    "ended for too many messages": Fault(_channels("end", "Too many messages per second"), 1.0),
    "a frame over 1 MiB": Fault(_huge_frame, 1.5),
    "odd doorbells": Fault(_odd_doorbells, 1.0),
    "REST answers 503": Fault(
        _spoil_requests(lambda f, path: f.answer_with(503, path, times=6)), 3.0
    ),
    "REST answers lost": Fault(_spoil_requests(lambda f, path: f.lose_answers(path, times=6)), 3.0),
    "several at once": Fault(_several_at_once, 2.0, _reset, _SOON),
}
