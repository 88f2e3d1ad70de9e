"""Session locks of PostgreSQL: held as long as a connection lives, so that others see when its process has died."""

from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

# Our part of the key space, which all users of a database share.
NAMESPACE = 0x6D6C70

_CONNECT_ARGS: dict[str, Any] = {
    "application_name": "descent worker",
    "connect_timeout": 5,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 3000,
    # The same for the other end: the server, too, must notice within seconds that our machine is gone.
    "options": "-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=3000",
}
_HELD = (
    "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = :namespace "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def held_keys(session: Session) -> set[int]:
    """Give the keys that any process holds."""
    return set(session.execute(text(_HELD), {"namespace": NAMESPACE}).scalars())


class SessionLocks:
    """A lock held for the life of a connection of its own, and others taken for a moment.

    Args:
        url: SQLAlchemy's address of the database.
        key: The lock to hold, below 2**31.
    """

    def __init__(self, url: str, key: int) -> None:
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_CONNECT_ARGS)
        self._key = key
        self._connection: Connection | None = None
        self._held = False

    def renew(self) -> set[int]:
        """Hold the lock, again if the connection was broken; give the keys that any process holds."""
        # False while the server has not noticed that our former connection is gone: that one still holds it.
        self._held = self._held or self.take(self._key)
        return set(self._execute(_HELD))

    def take(self, key: int) -> bool:
        """Take a lock if it is free."""
        return bool(self._execute("SELECT pg_try_advisory_lock(:namespace, :key)", key=key)[0])

    def free(self, key: int) -> None:
        """Give a lock back."""
        self._execute("SELECT pg_advisory_unlock(:namespace, :key)", key=key)

    def close(self) -> None:
        """End the connection, and with it every lock."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            connection.close()

    def _execute(self, statement: str, **values: int) -> list[Any]:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            return list(self._connection.execute(text(statement), {"namespace": NAMESPACE, **values}).scalars())
        except SQLAlchemyError:
            self.close()
            raise
