"""A line search to the strong Wolfe conditions: bracket, then zoom in by cubic interpolation.

Nocedal and Wright, *Numerical Optimization*, algorithms 3.5 and 3.6, with the safeguards and constants of PyTorch, so
that the points that are tried are the same.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

DECREASE, CURVATURE = 1e-4, 0.9


@dataclass(frozen=True, slots=True)
class Point:
    """A step ``t`` along the line, with the loss there and its slope along the line."""

    t: float
    loss: float
    slope: float


At: TypeAlias = Callable[[float], Generator[None, None, Point]]


def strong_wolfe(
    at: At, start: Point, t: float, longest: float, tolerance: float, most: int
) -> Generator[None, None, tuple[Point, int]]:
    """The point that is found, and the number of points tried: at most one more than ``most``.

    ``longest`` is the direction's largest component; a bracket that is shorter than ``tolerance`` there is left.
    """
    before, here, n = start, (yield from at(t)), 1
    while n <= most:
        if _is_high(start, here) or (n > 2 and here.loss >= before.loss):
            return (yield from _zoom(at, start, [before, here], n, longest, tolerance, most))
        if _is_level(start, here):
            return here, n
        if here.slope >= 0.0:
            return (yield from _zoom(at, start, [before, here], n, longest, tolerance, most))
        bounds = here.t + 0.01 * (here.t - before.t), 10.0 * here.t
        t = _cubic_minimum(before, here, bounds)
        before, here = here, (yield from at(t))
        n += 1
    return (start if start.loss <= here.loss else here), n


def _zoom(
    at: At, start: Point, bracket: list[Point], n: int, longest: float, tolerance: float, most: int
) -> Generator[None, None, tuple[Point, int]]:
    """Shrink the bracket until its lower end is level enough."""
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    slow = False
    while n <= most:
        left, right = sorted(point.t for point in bracket)
        if (right - left) * longest < tolerance:
            break
        t = _cubic_minimum(bracket[0], bracket[1], (left, right))
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        here = yield from at(t)
        n += 1
        if _is_high(start, here) or here.loss >= bracket[low].loss:
            bracket[1 - low] = here
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if _is_level(start, here):
            return here, n
        if here.slope * (bracket[1 - low].t - bracket[low].t) >= 0.0:
            bracket[1 - low] = bracket[low]
        bracket[low] = here
    return bracket[low], n


def _is_high(start: Point, here: Point) -> bool:
    """Whether the loss has not fallen enough; one that is not a number has not."""
    return not here.loss <= start.loss + DECREASE * here.t * start.slope


def _is_level(start: Point, here: Point) -> bool:
    return abs(here.slope) <= -CURVATURE * start.slope


def _cubic_minimum(one: Point, other: Point, bounds: tuple[float, float]) -> float:
    """Where the cubic through two points and their slopes is lowest, within the bounds; their middle if it is nowhere."""
    left, right = (one, other) if one.t <= other.t else (other, one)
    middle = (bounds[0] + bounds[1]) / 2.0
    if left.t == right.t:
        return middle
    d1 = left.slope + right.slope - 3.0 * (left.loss - right.loss) / (left.t - right.t)
    square = d1 * d1 - left.slope * right.slope
    if not square >= 0.0:
        return middle
    d2 = sqrt(square)
    divisor = right.slope - left.slope + 2.0 * d2
    if divisor == 0.0:
        return middle
    t = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / divisor)
    return min(max(t, bounds[0]), bounds[1])
