"""Whether a join succeeds: the checks, in the order in which the real server makes them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from customer_tickets.devstack.realtime.access import Access
from customer_tickets.devstack.realtime.frames import Frame, RawBroadcast
from customer_tickets.devstack.realtime.history import replay
from customer_tickets.devstack.realtime.hub import TopicKey
from customer_tickets.devstack.realtime.joining import JoinRefused, JoinRequest, read_join
from customer_tickets.devstack.realtime.project import Project

__all__ = ["Admission", "Applicant", "admit"]


@dataclass(frozen=True, slots=True)
class Admission:
    """What a join came to: what was asked for, what is allowed, what is sent again."""

    topic: str
    key: TopicKey
    join_ref: object
    request: JoinRequest
    access: Access
    replayed: Sequence[RawBroadcast] = ()


@dataclass(frozen=True, slots=True)
class Applicant:
    """The socket that wants to join: its own key, its `x-` headers, how many channels it has."""

    identity: object
    api_key: str
    headers: Mapping[str, str]
    channels: int


async def admit(project: Project, applicant: Applicant, frame: Frame, name: str) -> Admission:
    """Let the channel in, or raise JoinRefused with the reason that the client gets."""
    request = read_join(frame.payload)
    key = TopicKey(request.private, name)
    reason = project.faults.refusal(name)
    if reason is not None:
        raise JoinRefused(reason)
    _check_without_database(project, applicant, key)
    access = Access(project, key, applicant.headers, presence=request.presence)
    await access.open(request.token if request.token is not None else applicant.api_key)
    if request.replay not in (None, "nothing") and not access.read.broadcast:
        # Who may read presence alone is let in, but hears no broadcast, old ones included.
        raise JoinRefused(access.unauthorized)
    replayed = await _replayed(project, frame.topic, key, request)
    project.arrive(applicant.identity)
    return Admission(frame.topic, key, frame.join_ref, request, access, replayed)


def _check_without_database(project: Project, applicant: Applicant, key: TopicKey) -> None:
    profile = project.profile
    if not key.name:
        raise JoinRefused("TopicNameRequired: You must provide a topic name")
    if profile.private_only and not key.private:
        raise JoinRefused("PrivateOnly: This project only allows private channels")
    if applicant.identity not in project.joined_sockets and project.too_many_sockets():
        raise JoinRefused("ConnectionRateLimitReached: Too many connected users")
    now = time.monotonic()
    project.joins.count(now)
    if project.joins.exceeded(now):
        raise JoinRefused("ClientJoinRateLimitReached: Too many joins per second")
    limit = profile.channels_per_socket
    if limit is not None and applicant.channels >= limit:
        raise JoinRefused("ChannelRateLimitReached: Too many channels")


async def _replayed(
    project: Project, topic: str, key: TopicKey, request: JoinRequest
) -> Sequence[RawBroadcast]:
    if request.replay is None:
        return ()
    if not key.private:
        raise JoinRefused("UnableToReplayMessages: Replay is not allowed for public channels")
    if request.replay == "nothing":
        return ()
    if request.replay == "invalid":
        raise JoinRefused("UnableToReplayMessages: Replay params are not valid")
    return await replay(project.database, topic, key.name, request.replay)
