"""The cyclic parts of a time, as points on a circle. Training and prediction share it, to the bit; imports no polars."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]

DAY_S = 86_400.0
TREND = "time"
CYCLES = {"month": 12, "weekday": 7, "hour": 24}


def place_in(cycle: str, seconds: Numbers) -> Codes:
    """Give where times (seconds since 1970, UTC) are in a cycle: 0 for January, Monday, midnight; -1 for a missing one."""
    missing = np.isnan(seconds)
    known = np.where(missing, 0.0, seconds)
    days = np.floor(known / DAY_S)
    match cycle:
        case "month":
            place = days.astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
        case "weekday":
            place = (days.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
        case _:
            place = ((known - days * DAY_S) // 3600).astype(np.int64)
    return np.where(missing, -1, place)


@cache
def circle(cycle: str) -> Numbers:
    """Give the sine and the cosine of each place in a cycle; last, so that -1 finds it, (0, 0) for a missing time.

    They are looked up, since computed in vectors they may differ in the last bit from those computed one by one.
    """
    n = CYCLES[cycle]
    points = [(math.sin(2 * math.pi * place / n), math.cos(2 * math.pi * place / n)) for place in range(n)]
    return np.array([*points, (0.0, 0.0)])
