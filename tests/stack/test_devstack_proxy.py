"""The faults of the tests' own TCP proxy are what they say."""

import threading
import time

import httpx
import pytest

from tcp_proxy import TcpProxy

HEALTH = "/health"


def test_it_forwards(proxy: TcpProxy) -> None:
    with httpx.Client(base_url=proxy.url) as web:
        assert web.get(HEALTH).json()["ready"] is True


def test_a_cut_breaks_what_is_open_and_nothing_else(proxy: TcpProxy) -> None:
    with httpx.Client(base_url=proxy.url) as web:
        web.get(HEALTH)
        proxy.cut()
        assert proxy.open_connections == 0
        assert web.get(HEALTH).status_code == 200


def test_refused_connections_fail_until_it_heals(proxy: TcpProxy) -> None:
    with httpx.Client(base_url=proxy.url) as web:
        proxy.refuse()
        with pytest.raises(httpx.ConnectError):
            web.get(HEALTH)
        proxy.heal()
        assert web.get(HEALTH).status_code == 200


def test_a_swallowed_answer_is_one_whose_request_arrived(proxy: TcpProxy) -> None:
    with httpx.Client(base_url=proxy.url) as web:
        web.get(HEALTH)
        proxy.swallow_next_answer()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            web.get(HEALTH)
        assert proxy.swallowed.wait(5)
        assert web.get(HEALTH).status_code == 200


def test_half_open_connections_stay_and_carry_nothing(proxy: TcpProxy) -> None:
    with httpx.Client(base_url=proxy.url, timeout=0.3) as web:
        web.get(HEALTH)
        proxy.half_open()
        with pytest.raises(httpx.ReadTimeout):
            web.get(HEALTH)
        proxy.heal()
        assert web.get(HEALTH).status_code == 200


def test_latency_is_added_each_way(proxy: TcpProxy) -> None:
    proxy.latency = 0.1
    with httpx.Client(base_url=proxy.url) as web:
        started = time.monotonic()
        web.get(HEALTH)
        assert time.monotonic() - started >= 0.2


def test_it_leaves_no_thread(proxy: TcpProxy) -> None:
    with TcpProxy(proxy.port) as second, httpx.Client(base_url=second.url) as web:
        assert web.get(HEALTH).status_code == 200
    assert sum(thread.name == "tcp-proxy" for thread in threading.enumerate()) == 1
