"""Server-sent events, put together from bytes as they come."""

from collections.abc import Iterator
from dataclasses import dataclass, field

LAST_EVENT_ID = "Last-Event-ID"


@dataclass(frozen=True)
class Event:
    """One event.

    Args:
        name: `epoch`, `status` or `done`.
        data: Its body, JSON.
    """

    name: str
    data: str


@dataclass
class Listener:
    """What was heard of a stream, over all of its connections.

    Args:
        last_id: Id of the last whole event: the next connection goes on after it.
        is_done: Whether the last event of all was heard.
        failures: Connections in a row that brought nothing, not even a sign of life.
    """

    last_id: str = ""
    is_done: bool = False
    failures: int = 0
    _rest: bytes = b""
    _fields: dict[str, str] = field(default_factory=dict)

    def connect(self) -> dict[str, str]:
        """Begin a connection; half an event of the one before is forgotten. Gives the headers to send."""
        self._rest, self._fields = b"", {}
        return {"Accept": "text/event-stream", **({LAST_EVENT_ID: self.last_id} if self.last_id else {})}

    def hear(self, piece: bytes) -> Iterator[Event]:
        """Take bytes, and give the events that they complete."""
        self.failures = 0
        # Not by splitlines(): it would also split at characters that a name inside the data may have.
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode())
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            more = name == "data" and "data" in self._fields
            self._fields[name] = f"{self._fields['data']}\n{value}" if more else value
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None  # a sign of life
        self.last_id = fields.get("id", self.last_id)
        self.is_done = fields.get("event") == "done"
        return Event(fields.get("event", "message"), fields["data"])
