"""Whether anything was committed since one looked: on SQLite a question of 2 µs."""

import sqlite3
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.store.session import Database


class FileVersion:
    """A number that changes whenever any other connection commits, of this process or another. Belongs to one thread.

    Args:
        database: In a file of SQLite.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def read(self) -> int | None:
        """Give the number; None if it cannot be had now."""
        try:
            if self._connection is None:
                self._connection = self._database.engine.raw_connection()
            cursor = self._connection.cursor()
            try:
                (version,) = cursor.execute("PRAGMA data_version").fetchone()
            finally:
                cursor.close()
            return int(version)
        except (SQLAlchemyError, sqlite3.Error):
            self.close()
            return None

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
