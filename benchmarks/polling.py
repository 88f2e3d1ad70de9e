"""How long clients wait for a job's state while many of them ask, and two jobs are running."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.machine import Figure, Part, share, table
from tests.service import PENGUINS, Service

POLLERS = 500


def measure(service: Service, seconds: float, intervals_s: Sequence[float]) -> Part:
    """Poll for some seconds at each interval."""
    dataset = service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    jobs = [
        service.submit(dataset_id=dataset, target="species", training={"epochs": 10_000_000, "seed": seed})["id"]
        for seed in range(2)
    ]
    for job_id in jobs:
        service.wait_for_epoch(job_id, 1)
    rows, figures = [], []
    for interval_s in intervals_s:
        times = asyncio.run(_poll_all(service.port, jobs, seconds, interval_s))
        shares = [1e3 * share(times, part) for part in (0.5, 0.95, 0.99)]
        rows.append([f"{interval_s:g} s", f"{len(times) / seconds:,.0f}", *(f"{ms:.1f}" for ms in shares)])
        name = f"Poll of a job, {POLLERS} pollers that each ask every {interval_s:g} s, beside 2 running jobs: p99"
        figures.append(Figure(name, "< 250 ms", f"{shares[-1]:.0f} ms"))
    for job_id in jobs:
        assert service.job(job_id)["status"] == "running"
        service.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        service.wait(job_id)
    head = ["each asks every", "requests/s", "p50, ms", "p95, ms", "p99, ms"]
    asked = f"`GET /v1/jobs/{{id}}` by {POLLERS} pollers beside 2 running jobs (2 slots), for {seconds:g} s"
    return Part(f"{asked}:\n\n{table(head, rows)}\n", tuple(figures))


async def _poll_all(port: int, jobs: list[str], seconds: float, interval_s: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    pollers = (
        _poll(port, jobs[number % len(jobs)], end, interval_s, interval_s * number / POLLERS, times)
        for number in range(POLLERS)
    )
    await asyncio.gather(*pollers)
    return times


async def _poll(port: int, job_id: str, end: float, interval_s: float, offset_s: float, times: list[float]) -> None:
    """Ask over one kept connection, without a client library: that would take more of the machine than the service."""
    await asyncio.sleep(offset_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /v1/jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    while (begin := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - begin)
        await asyncio.sleep(max(0.0, begin + interval_s - time.perf_counter()))
    writer.close()
    await writer.wait_closed()
