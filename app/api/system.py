"""The installation itself: is it alive, is it ready, what does it accept."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from app.api.deps import Installed
from app.contract.system import Alive, Limits, Ready
from app.services import system

router = APIRouter(tags=["system"])


@router.get("/healthz")
def get_health() -> Alive:
    """Tell that the process is alive."""
    return Alive(status="alive")


@router.get("/readyz", responses={503: {"model": Ready}})
def get_readiness(installed: Installed, response: Response) -> Ready:
    """Tell whether database and workers answer; 503 if not."""
    ready = system.readiness(installed)
    if ready.status != "ready":
        response.status_code = 503
    return ready


@router.get("/v1/limits")
def get_limits(installed: Installed) -> Limits:
    """Give the sizes that this installation accepts."""
    return system.limits(installed)


@router.get("/metrics", response_class=Response)
def get_metrics(installed: Installed) -> Response:
    """Give figures for Prometheus."""
    registry = CollectorRegistry()
    jobs = Gauge("descent_jobs", "Jobs that have not ended, by status.", ["status"], registry=registry)
    ends = Counter("descent_jobs_ended", "Jobs that have ended, by how.", ["status"], registry=registry)
    not_ended, ended = system.job_counts(installed)
    for status, number in not_ended.items():
        jobs.labels(status).set(number)
    for status, number in ended.items():
        ends.labels(status).inc(number)
    Gauge("descent_workers", "Workers that show a sign of life.", registry=registry).set(system.workers(installed))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
