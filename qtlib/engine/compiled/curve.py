"""What an equity curve comes to, in one pass over it."""

from typing import Any

from qtlib.compiler import compiled
from qtlib.engine.compiled.prices import DAY


@compiled
def days_of(times: Any, curve: Any, start: int, days: Any, lasts: Any) -> tuple[int, float]:
    """Write each day that has a close into `days`, and the last equity of it into `lasts`; how many there are.

    And the deepest drawdown, as a fraction of the peak before it, which is `start` or more. `times` are closes in
    microseconds since 1970, UTC, in order; one at midnight ends the day before it.
    """
    count, ends, peak, lowest, deepest = 0, times[0] - 1, start, start, 0.0
    for k in range(len(times)):
        equity = curve[k]
        if times[k] > ends:
            day = (times[k] - 1) // DAY
            ends = (day + 1) * DAY
            days[count] = day
            count += 1
        lasts[count - 1] = equity
        if equity > peak:
            peak = lowest = equity
        elif equity < lowest:
            lowest = equity
            if peak > 0:
                deepest = max(deepest, (peak - equity) / peak)
    return count, deepest
