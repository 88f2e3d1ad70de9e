"""Puts the files of this machine's folder into the bucket that the settings name: `python -m app.fill_bucket`.

For an installation that kept its files in a folder until now. Nothing else may run meanwhile; a second time puts only what is
missing.
"""

import sys

from app.settings import Settings, settings
from app.store import identity
from app.store.blobs_by_url import open_blobs
from app.store.faults import WrongStore
from app.store.revision import is_current
from app.store.session import Database

FOLDERS = ("content", "datasets", "models")


def fill(configured: Settings, database: Database) -> int:
    """Give the number of files that were put.

    Raises:
        WrongStore: The bucket is another database's.
    """
    blobs = open_blobs(configured)
    blobs.claim(identity.of(database))
    there = {key for folder in FOLDERS for key, _ in blobs.stored(folder)}
    n_files = 0
    for folder in FOLDERS:
        for path in sorted(blobs.path(folder).rglob("*")):
            key = path.relative_to(blobs.folder).as_posix()
            if path.is_file() and key not in there:
                blobs.save(key)
                n_files += 1
    return n_files


def main() -> int:
    """Do so for the installation that the environment describes."""
    configured = settings()
    if configured.bucket is None:
        sys.stderr.write("DESCENT_BLOBS_URL names no bucket.\n")
        return 1
    database = Database(configured.database)
    if not is_current(database):
        sys.stderr.write("The database is not of this version: `descent migrate` first.\n")
        return 1
    try:
        n_files = fill(configured, database)
    except WrongStore as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{n_files} files were put into {configured.blobs_url}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
