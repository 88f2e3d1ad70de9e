"""What can be asked of the installation itself."""

from app.contract.system import Limits, Ready
from app.queue.life import workers_alive
from app.services.installation import Installation
from app.store import counts
from app.store.faults import DATABASE_DOWN
from app.store.revision import is_current


def readiness(installation: Installation) -> Ready:
    """Look whether the database has our schema, and whether a worker is alive."""
    try:
        database, alive = is_current(installation.database), workers(installation)
    except DATABASE_DOWN:
        database, alive = False, 0
    return Ready(status="ready" if database and alive else "not_ready", database=database, workers=alive)


def workers(installation: Installation) -> int:
    """Count the workers that show a sign of life."""
    return workers_alive(installation.database, installation.settings.data_dir.resolve())


def limits(installation: Installation) -> Limits:
    """Give the sizes that are accepted."""
    return Limits(**{name: getattr(installation.settings, name) for name in Limits.model_fields})


def job_counts(installation: Installation) -> tuple[dict[str, int], dict[str, int]]:
    """Count the jobs of each status that have not ended, and give how many ever ended so or so; of all owners."""
    with installation.database.reading() as session:
        return counts.not_ended(session), counts.ended(session)
