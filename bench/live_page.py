"""Writes docs/live-figures.md and its plots from bench/results: `python bench/live_page.py`."""

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from live_world import RESULTS

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, LEFT, RIGHT, ROW = 790, 290, 90, 24
# Readable on white and on black.
INK, FILL, MARK = "#7a7a7a", "#3b82c4", "#d9822b"

NAMES = {
    "bare": "bare `realtime` client: a number, no content",
    "bare+fetch": "bare client, then the message by REST",
    "async": "`thread.live()`, async",
    "blocking": "`thread.live()`, blocking",
    "polling": "asking the table every second",
}

PAGE = """# Live threads: figures

Every number and plot here is written by `python bench/live_page.py` from what the benches of
`bench/README.md` found on one machine: {machine}, the local stack and
its clients together on it. On a hosted project add the way to it; compare the proportions.

## From commit to event

Milliseconds from right before the commit is sent until the event is in the program's hands.
The readers take turns on one stack, each in a process of its own ({count} events each; the load of
the machine before was {latency_load}).

![Latency of each reader](figures/latency.svg)

{latency}

A broadcast of this library is a number without content: a text in one would reach whoever lost
the right to read it, until their token expires. So an event costs one request after it, which
alone takes several times as long as the broadcast; {ratio:.1f} times the bare number is what
content costs here. The row `bare client, then the message by REST` is what a program without this
library does to have the same, without any of the guarantee: `thread.live()` takes {fair:.2f} times
as long as that (the bar is 1.2). Of a median of {total:.1f} ms the broadcast is {broadcast:.1f} ms;
nearly all the rest is the round trip through the gateway and PostgREST.

## After a fault

Seconds from when the fault is over (or, where it stays, has begun) until programs of both faces are
live again and have what was written at that moment; {repeats} times each, at new programs. Where
only the slow timer can find out, `check_every` was one second.

![Seconds until live again after each fault](figures/recovery.svg)

A bar is a median, its line reaches to the most, and the mark is what it has to keep to.

{recovery}

No fault lost, repeated or reordered an event; `tests/stack/test_live_faults.py` holds each to that,
and `make soak` draws them at random for an hour. A second fault soon after a first waits longer:
the pauses between attempts grow until a connection has lasted ten seconds.

## What a lost broadcast costs

Nothing but time, and only if no other follows: the next broadcast brings both events. The last one
of all is found by the timer. With `check_every={check_every:g}` seconds, {lost_repeats} of them
were noticed after {lost_median:.1f} s (median) and {lost_most:.1f} s (most). The default is 30
seconds: at most 30 seconds late, for two small requests a minute.

## Many threads in one process

Each thread opened and followed with `async for`, in one process and one client; messages at 20 a
second to threads drawn at random (load before: {scale_load}).

{scale}

The memory is what opening the threads adds to a process that has signed in, which is
{before:.0f} MB. Processor time while idle is a share of one core.
"""


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """One label."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"'
        f' font-family="sans-serif" font-size="12">{escape(words)}</text>'
    )


def bars(
    rows: Sequence[tuple[str, float, float, float | None]], unit: str, least: float, most: float
) -> str:
    """Draw a bar for each (name, median, far end, bar to hold or None), on a logarithmic scale."""
    span = WIDTH - LEFT - RIGHT

    def place(value: float) -> float:
        share = math.log(max(value, least) / least) / math.log(most / least)
        return LEFT + span * min(share, 1.0)

    height = ROW * (len(rows) + 1) + 16
    drawn = []
    tick = least
    while tick <= most * 1.001:
        x = place(tick)
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - ROW}" stroke="{INK}"'
            ' stroke-width="0.4" stroke-dasharray="2 3"/>'
        )
        drawn.append(text(x, height - 8, f"{tick:g} {unit}", "middle"))
        tick *= 10
    for number, (name, median, far, bar) in enumerate(rows):
        y = 8 + ROW * number
        middle = y + ROW / 2 - 2
        drawn.append(text(LEFT - 8, middle + 4, name.replace("`", ""), "end"))
        drawn.append(
            f'<rect x="{LEFT}" y="{y + 2}" width="{place(median) - LEFT:.1f}" height="{ROW - 9}"'
            f' fill="{FILL}"/>'
        )
        drawn.append(
            f'<line x1="{place(median):.1f}" x2="{place(far):.1f}" y1="{middle:.1f}"'
            f' y2="{middle:.1f}" stroke="{FILL}" stroke-width="2"/>'
        )
        if bar is not None:
            drawn.append(
                f'<line x1="{place(bar):.1f}" x2="{place(bar):.1f}" y1="{y}" y2="{y + ROW - 5}"'
                f' stroke="{MARK}" stroke-width="2"/>'
            )
        drawn.append(text(WIDTH - 8, middle + 4, f"{median:.3g} {unit}", "end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}">\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def found(name: str) -> dict[str, Any]:
    """What a bench has kept."""
    kept: dict[str, Any] = json.loads((RESULTS / f"live_{name}.json").read_text())
    return kept


def main() -> None:
    latency, recovery, scale = found("latency"), found("recovery"), found("scale")
    readers, faults, lost = latency["readers"], recovery["faults"], recovery["lost_last"]
    figures = DOCS / "figures"
    figures.mkdir(exist_ok=True)
    ordered = sorted(readers, key=lambda name: readers[name]["median_ms"])
    rows = [
        (NAMES[name], readers[name]["median_ms"], readers[name]["p99_ms"], None) for name in ordered
    ]
    (figures / "latency.svg").write_text(bars(rows, "ms", 1, 1000))
    rows = [(name, one["median"], one["most"], one["bar"]) for name, one in faults.items()]
    (figures / "recovery.svg").write_text(bars(rows, "s", 0.01, 10))
    base, ours = readers["bare"]["median_ms"], readers["async"]["median_ms"]
    page = PAGE.format(
        machine="two shared cores, Linux, Python 3.11",
        count=readers["async"]["count"],
        latency_load=f"{latency['load_before']:.1f}",
        latency=table(
            ["reader", "median", "p95", "p99", "most", "CPU per event", "times bare"],
            [
                [
                    NAMES[name],
                    *(f"{readers[name][key]:.1f}" for key in ("median_ms", "p95_ms", "p99_ms")),
                    f"{readers[name]['most_ms']:.1f}",
                    f"{readers[name]['cpu_ms_per_event']:.1f}",
                    f"{readers[name]['median_ms'] / base:.1f}",
                ]
                for name in ordered
            ],
        ),
        fair=ours / readers["bare+fetch"]["median_ms"],
        ratio=ours / base,
        total=ours,
        broadcast=base,
        repeats=next(iter(faults.values()))["repeats"],
        recovery=table(
            ["fault", "least", "median", "most", "bar"],
            [
                [
                    name,
                    *(f"{one[key]:.2f}" for key in ("least", "median", "most")),
                    f"{one['bar']:g}",
                ]
                for name, one in faults.items()
            ],
        ),
        check_every=lost["check_every"],
        lost_repeats=lost["repeats"],
        lost_median=lost["median"],
        lost_most=lost["most"],
        scale_load=f"{scale['load_before']:.1f}",
        scale=table(
            ["threads", "websockets", "memory", "idle", "CPU per event", "median", "p99"],
            [
                [
                    f"{one['threads']:,}",
                    one["websockets"],
                    f"{one['memory_mb']:.0f} MB",
                    f"{one['idle_cpu_percent']:.1f} %",
                    f"{one['cpu_ms_per_event']:.1f} ms",
                    f"{one['latency']['median_ms']:.0f} ms",
                    f"{one['latency']['p99_ms']:.0f} ms",
                ]
                for one in scale["processes"]
            ],
        ),
        before=scale["processes"][-1]["memory_before_mb"],
    )
    (DOCS / "live-figures.md").write_text(page)


if __name__ == "__main__":
    main()
