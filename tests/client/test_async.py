"""What the asynchronous client leaves to others while it works."""

import asyncio
import threading
from pathlib import Path

import pytest

from descent import AsyncClient, Retries, Unreachable
from descent.threads import in_thread
from tests.service import free_port

NOBODY = f"http://127.0.0.1:{free_port()}"


def test_others_go_on_while_a_large_file_is_hashed(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)  # a hole: it takes no room, and is read as fast as anything can be

    async def go() -> int:
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        async with AsyncClient(NOBODY, retries=Retries(most=0)) as client:
            others = asyncio.create_task(take_turns())
            with pytest.raises(Unreachable):  # it was hashed before anything was sent
                await client.datasets.create(path)
            others.cancel()
        return turns

    assert asyncio.run(go()) > 20


def test_who_is_cancelled_leaves_no_work_behind() -> None:
    async def go() -> list[str]:
        said: list[str] = []
        begun, go_on = threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert go_on.wait(60)
            said.append("worked")

        task = asyncio.create_task(in_thread(work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        return said.copy()  # the loop waits for its threads when it ends

    assert asyncio.run(go()) == ["worked"]


def test_a_cancelled_upload_ends_at_once_and_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)

    async def go() -> None:
        async with AsyncClient(NOBODY, retries=Retries(most=50, first_s=60)) as client:
            task = asyncio.create_task(client.datasets.create(path))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(asyncio.wait_for(go(), 20))
