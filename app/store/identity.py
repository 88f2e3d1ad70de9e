"""Whose the stored files are: a database has an identity, and the bucket of its files is marked with it."""

import logging

from sqlalchemy import select

from app.store.blobs import Blobs
from app.store.faults import DATABASE_DOWN, WrongStore
from app.store.revision import is_current
from app.store.session import Database
from app.store.tables import IdentityRow

log = logging.getLogger(__name__)


def of(database: Database) -> str:
    """Give what a database got when it was made, and no other has but its copies."""
    with database.reading() as session:
        return session.scalars(select(IdentityRow.value)).one()


def claim_at_start(database: Database, blobs: Blobs) -> None:
    """See that the files are this database's. If it cannot be known now, it is seen before anything is written or removed.

    Raises:
        WrongStore: They are another one's.
    """
    passing: tuple[type[Exception], ...] = (*DATABASE_DOWN, OSError)
    try:
        if blobs.are_shared and is_current(database):
            blobs.claim(of(database))
    except WrongStore:
        raise
    except passing as error:
        log.warning("it is not known yet whether the files are this database's: %s", error)
