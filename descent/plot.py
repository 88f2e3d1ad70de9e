"""A curve drawn with braille characters: eight points in each."""

import math
from collections.abc import Sequence

# Bit of a point in its character, by row (from the top) and column.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800


def curve(values: Sequence[float | None], *, width: int, height: int) -> list[str]:
    """Draw values from left to right.

    Args:
        values: One a step; None where there is none.
        width: Characters in a line.
        height: Lines.

    Returns:
        The lines, from the top, with the largest and the smallest value before them. The axis is logarithmic if the values
        are positive and span more than a factor of ten.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known or width < 1 or height < 1:
        return []
    low, high = min(known), max(known)
    scale = math.log10 if low > 0 and high > 10 * low else float
    bottom, span = scale(low), (scale(high) - scale(low)) or 1.0
    cells = [[_EMPTY] * width for _ in range(height)]
    columns, rows = 2 * width, 4 * height
    for place, value in enumerate(values):
        if value is None or not math.isfinite(value):
            continue
        column = 0 if len(values) == 1 else round(place * (columns - 1) / (len(values) - 1))
        row = rows - 1 - round((scale(value) - bottom) / span * (rows - 1))
        cells[row // 4][column // 2] |= _BITS[row % 4][column % 2]
    labels = [f"{high:.4g}"] + [""] * (height - 1)
    if height > 1:
        labels[-1] = f"{low:.4g}"
    margin = max(map(len, labels))
    return [f"{label:>{margin}} {''.join(map(chr, line))}" for label, line in zip(labels, cells, strict=True)]
