"""Readings that are shared by those who ask at the same time."""

import asyncio
import threading

import pytest

from app.api.shared import SharedReads


def test_those_who_ask_during_a_reading_share_the_next_one() -> None:
    begun, go_on = threading.Event(), threading.Event()
    readings = []

    def read() -> int:
        readings.append(None)
        begun.set()
        assert go_on.wait(10)
        return len(readings)

    async def ask() -> list[int]:
        shared = SharedReads[int]()
        first = asyncio.create_task(shared.get("a", read))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.create_task(shared.get("a", read)) for _ in range(100)]
        await asyncio.sleep(0)
        go_on.set()
        return [await first, *await asyncio.gather(*others)]

    assert asyncio.run(ask()) == [1, *[2] * 100]


def test_nobody_is_given_what_was_read_before_he_asked() -> None:
    stored = 0

    def read() -> int:
        return stored

    async def ask_and_write(shared: SharedReads[int]) -> None:
        nonlocal stored
        for _ in range(50):
            stored += 1
            written = stored
            assert await shared.get("a", read) >= written

    async def ask() -> None:
        shared = SharedReads[int]()
        await asyncio.gather(*(ask_and_write(shared) for _ in range(20)))

    asyncio.run(ask())


def test_different_things_are_read_apart_and_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def read(name: str) -> str:
        both.wait()
        return name

    async def ask() -> list[str]:
        shared = SharedReads[str]()
        return await asyncio.gather(*(shared.get(name, lambda name=name: read(name)) for name in "ab"))

    assert asyncio.run(ask()) == ["a", "b"]


def test_a_failed_reading_fails_for_all_who_shared_it_and_for_nobody_after_them() -> None:
    fails = True

    def read() -> str:
        if fails:
            raise LookupError
        return "there"

    async def ask() -> None:
        nonlocal fails
        shared = SharedReads[str]()
        found = await asyncio.gather(*(shared.get("a", read) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [LookupError] * 3
        fails = False
        assert await shared.get("a", read) == "there"

    asyncio.run(ask())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def ask() -> None:
        shared, go_on = SharedReads[str](), threading.Event()

        def read() -> str:
            assert go_on.wait(10)
            return "there"

        gone, other = (asyncio.create_task(shared.get("a", read)) for _ in range(2))
        await asyncio.sleep(0.01)
        gone.cancel()
        go_on.set()
        assert await other == "there"
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(ask())
