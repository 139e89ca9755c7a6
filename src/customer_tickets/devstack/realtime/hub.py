"""Who is subscribed to which topic, and delivery to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from customer_tickets.devstack.realtime.frames import Broadcast, RawBroadcast, RelayedBroadcast
from customer_tickets.devstack.realtime.joining import PREFIX
from customer_tickets.devstack.realtime.presence import Diff, Presences
from customer_tickets.devstack.realtime.wal import Inserted

__all__ = ["Hub", "Subscriber", "TopicKey"]


class TopicKey(NamedTuple):
    """A topic: private and public ones of the same name are strangers to each other."""

    private: bool
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Subscriber:
    """One channel's ears: what it does with a broadcast, and with a change of presence."""

    broadcast: Callable[[Broadcast], None]
    presence: Callable[[Broadcast], None]


@dataclass(slots=True)
class _Topic:
    # A dict keeps the order of joining, which makes delivery deterministic.
    subscribers: dict[Subscriber, None] = field(default_factory=dict[Subscriber, None])
    presences: Presences = field(default_factory=Presences)


class Hub:
    """All topics of the project. A topic exists as long as somebody is subscribed to it."""

    def __init__(self, max_payload: int) -> None:
        self._topics: dict[TopicKey, _Topic] = {}
        self._max_payload = max_payload

    def subscribe(self, key: TopicKey, subscriber: Subscriber) -> None:
        """From now on the subscriber gets what is published."""
        self._topics.setdefault(key, _Topic()).subscribers[subscriber] = None

    def unsubscribe(self, key: TopicKey, subscriber: Subscriber) -> None:
        """The subscriber gets nothing more. Its presence has to be taken away before."""
        topic = self._topics.get(key)
        if topic is None:
            return
        topic.subscribers.pop(subscriber, None)
        if not topic.subscribers:
            del self._topics[key]

    def presences(self, key: TopicKey) -> Presences:
        """Who is present on a topic that somebody is subscribed to."""
        return self._topics[key].presences

    def publish(
        self, key: TopicKey, message: Broadcast, *, sender: Subscriber | None = None
    ) -> None:
        """Deliver to all subscribers but the sender."""
        topic = self._topics.get(key)
        for subscriber in list(topic.subscribers) if topic is not None else ():
            if subscriber is not sender:
                subscriber.broadcast(message)

    def publish_presence(self, key: TopicKey, topic: str, diff: Diff | None) -> None:
        """Tell all subscribers who came and who went, if anybody did."""
        if diff is None or key not in self._topics:
            return
        message = RelayedBroadcast(topic, "presence_diff", diff.payload())
        for subscriber in list(self._topics[key].subscribers):
            subscriber.presence(message)

    def publish_row(self, row: Inserted) -> None:
        """Deliver a stored message; one that is incomplete or too large is dropped silently."""
        columns = row.columns
        event, name, text = columns["event"], columns["topic"], columns["payload"]
        binary = columns["binary_payload"]
        private = columns["private"]
        if columns["extension"] != "broadcast" or event is None or name is None or private is None:
            return
        key = TopicKey(private == "t", name)
        if key not in self._topics:
            return
        if text is not None:
            body = text.encode()
        elif binary is not None:
            body = bytes.fromhex(binary.removeprefix("\\x"))
        else:
            return
        if len(body) <= self._max_payload:
            meta: dict[str, object] = {"id": row.id}
            self.publish(key, RawBroadcast(PREFIX + name, event, body, text is not None, meta))
