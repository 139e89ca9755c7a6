"""How long the server makes its clients wait, and how much it lets them do."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["FAITHFUL", "FAST", "Profile", "ProfileName", "profile_named"]

ProfileName = Literal["fast", "faithful"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Delays in seconds and limits of one project; `None` means that there is no such limit."""

    connect_error_delay: float
    """Before a refused connection gets its HTTP answer."""
    join_error_delay: float
    """Before a failed join gets its reply; its whole socket stands still meanwhile."""
    capture_retry: tuple[float, float]
    """Shortest and longest wait before the WAL is connected to again."""
    sockets: int | None
    """Sockets that have joined a channel, at one time."""
    joins_per_second: float | None
    events_per_second: float | None
    """Broadcasts sent and each delivery of one, together."""
    presence_per_second: float | None
    presence_per_channel: int | None
    """Calls of track and untrack that one channel may make in 30 seconds."""
    channels_per_socket: int | None = 100
    idle_timeout: float = 60.0
    """Seconds without an inbound byte, after which a socket is closed with 1000."""
    empty_sweep: float = 600.0
    """How often sockets that left all their channels are cut."""
    ready_timeout: float = 60.0
    """How long a channel that asked for `replication_ready` waits for it."""
    token_check: float = 300.0
    """A channel's token is looked at again at least this often."""
    max_frame: int = 5_000_000
    max_payload: int = 3_000_500
    max_backlog: int = 50_000_000
    """Bytes that wait for one client; beyond, its connection is cut."""
    capture_linger: float | None = None
    """How long the log is followed after the last client left; None: for ever."""
    private_only: bool = False
    """The project setting "private channels only"."""


FAST = Profile(
    connect_error_delay=0.0,
    join_error_delay=0.0,
    capture_retry=(0.05, 0.5),
    sockets=None,
    joins_per_second=None,
    events_per_second=None,
    presence_per_second=None,
    presence_per_channel=None,
)
FAITHFUL = Profile(
    connect_error_delay=2.0,
    join_error_delay=5.0,
    capture_retry=(5.0, 300.0),
    sockets=200,
    joins_per_second=100.0,
    events_per_second=100.0,
    presence_per_second=1000.0,
    presence_per_channel=5,
    capture_linger=690.0,
)


def profile_named(name: ProfileName) -> Profile:
    """`fast`: no delays or rates, for tests. `faithful`: those of a self-hosted Supabase."""
    return FAST if name == "fast" else FAITHFUL
