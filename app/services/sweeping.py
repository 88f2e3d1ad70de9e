"""Removing what nobody needs any more: uploads whose time is over, files that interrupted requests left behind, single counts."""

import logging
import threading

from app.services.installation import Installation
from app.services.uploads import sweep_expired
from app.store import contents, counts
from app.store.faults import DATABASE_DOWN

EVERY_S = 3600.0
# Far longer than any request lasts: what is older is nobody's work.
LEFT_BEHIND_AFTER_S = 24 * 3600.0

log = logging.getLogger(__name__)


def sweep(installation: Installation) -> None:
    """Sweep once. Several processes may do so at the same time."""
    sweep_expired(installation)
    with installation.database.transaction() as session:
        counts.add_up(session)
    n_files = contents.sweep(installation.database, installation.blobs, older_than_s=LEFT_BEHIND_AFTER_S)
    if n_files:
        log.info("swept %d files that interrupted requests left behind", n_files)


class Sweeper:
    """A thread that sweeps at once and then every hour, and starts with its making."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Sweep no more; wait for a sweep that is under way, but not for long."""
        self._ended.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        passing: tuple[type[Exception], ...] = (*DATABASE_DOWN, OSError)
        while True:
            try:
                sweep(self._installation)
            except passing as error:
                log.warning("could not sweep: %s", error)
            if self._ended.wait(EVERY_S):
                return
