"""The recursions of indicators, compiled: many stretches of bars at once, a lane each.

Columns are (bars, lanes); all lanes begin at the first row, and those that end before the last one have NaN from there
on. What is given back has the rows from `first` on, which has to lie behind what an indicator begins with. A lane has
the same bits alone and among others. They are those of TA-Lib, too (`tests/learning/test_recursions.py`), whose sums,
seeds and order of operations these are: with lanes side by side the processor need not wait for one bar's division
before it begins another's.
"""

from typing import Any

import numpy as np

from qtlib.compiler import compiled, fused, part
from qtlib.domain.panel import Array

Pair = tuple[Array, Array]


@compiled
def rsi(close: Array, span: int, first: int) -> Array:
    """Relative strength (Wilder 1978), 0 .. 100."""
    bars, lanes = close.shape
    gain, loss, out = np.zeros(lanes), np.zeros(lanes), np.empty((bars - first, lanes))
    share = 1.0 / span
    for t in range(1, bars):
        now, before = close[t], close[t - 1]
        kept, shared = span - 1.0 if t > span else 1.0, share if t >= span else 1.0  # a sum, until there are so many
        for k in range(lanes):
            change = now[k] - before[k]
            up = change if change > 0.0 else 0.0
            gain[k] = (gain[k] * kept + up) * shared
            loss[k] = (loss[k] * kept + (up - change)) * shared
        if t >= first:
            for k in range(lanes):
                total = gain[k] + loss[k]
                out[t - first, k] = 100.0 * _over(gain[k], total) if total != 0.0 else 0.0
    return out


@compiled
def average_range(high: Array, low: Array, close: Array, span: int, first: int) -> Array:
    """The average true range (Wilder 1978), in quote."""
    bars, lanes = close.shape
    average, out = np.zeros(lanes), np.empty((bars - first, lanes))
    kept = (span - 1) / span
    for t in range(1, bars):
        top, bottom, before = high[t], low[t], close[t - 1]
        old, new = (kept, 1.0 - kept) if t > span else (1.0, 1.0)
        for k in range(lanes):
            average[k] = fused(old, average[k], new * _true_range(top[k], bottom[k], before[k]))
        if t == span:
            for k in range(lanes):
                average[k] = _over(average[k], span)
        if t >= first:
            out[t - first] = average
    return out


@compiled
def directional(high: Array, low: Array, close: Array, span: int, first: int) -> Pair:
    """Plus less minus directional indicator, -100 .. 100, and the average directional index, 0 .. 100 (Wilder 1978)."""
    bars, lanes = close.shape
    plus, minus, moved, average = np.zeros(lanes), np.zeros(lanes), np.zeros(lanes), np.zeros(lanes)
    told, which, strength = np.zeros(lanes), np.empty((bars - first, lanes)), np.empty((bars - first, lanes))
    for t in range(1, bars):
        top, bottom, before, upper, lower = high[t], low[t], close[t - 1], high[t - 1], low[t - 1]
        for k in range(lanes):
            rise, fall = top[k] - upper[k], lower[k] - bottom[k]
            moves = _true_range(top[k], bottom[k], before[k])
            up, down = rise if rise > 0.0 and rise > fall else 0.0, fall if fall > 0.0 and rise < fall else 0.0
            if t >= span:
                plus[k] -= _over(plus[k], span)
                minus[k] -= _over(minus[k], span)
                moved[k] -= _over(moved[k], span)
            plus[k] += up
            minus[k] += down
            moved[k] += moves
        for k in range(lanes):
            up, down = 100.0 * _over(plus[k], moved[k]), 100.0 * _over(minus[k], moved[k])
            ups, downs = up if moved[k] != 0.0 else 0.0, down if moved[k] != 0.0 else 0.0
            both = downs + ups
            share = 100.0 * _over(abs(downs - ups), both)
            index = share if both != 0.0 else 0.0
            told[k] = ups - downs
            if t >= 2 * span:
                mean = _over(average[k] * (span - 1) + index, span)
                average[k] = mean if both != 0.0 else average[k]
            elif t >= span:
                average[k] += index
        if t == 2 * span - 1:
            for k in range(lanes):
                average[k] = _over(average[k], span)
        if t >= first:
            which[t - first], strength[t - first] = told, average
    return which, strength


@compiled
def mean(values: Array, span: int, first: int) -> Array:
    """The exponential mean, begun with the plain one of the first `span` values."""
    bars, lanes = values.shape
    share = 2.0 / (span + 1.0)
    average, out = np.zeros(lanes), np.empty((bars - first, lanes))
    for t in range(bars):
        now = values[t]
        for k in range(lanes):
            average[k] = _exponential(average[k], now[k], t + 1, span, share)
        if t >= first:
            out[t - first] = average
    return out


@compiled
def macd(close: Array, fast: int, slow: int, signal: int, first: int) -> Array:
    """The histogram of moving average convergence and divergence (Appel): the difference of two means, less its own."""
    bars, lanes = close.shape
    quick, calm, average = np.zeros(lanes), np.zeros(lanes), np.zeros(lanes)
    out = np.empty((bars - first, lanes))
    quickly, calmly, signalled = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    for t in range(bars):
        now = close[t]
        for k in range(lanes):
            calm[k] = _exponential(calm[k], now[k], t + 1, slow, calmly)
            if t >= slow - fast:  # so that both speak first at the same bar
                quick[k] = _exponential(quick[k], now[k], t + 1 - slow + fast, fast, quickly)
            if t >= slow - 1:
                average[k] = _exponential(average[k], quick[k] - calm[k], t + 2 - slow, signal, signalled)
        if t >= first:
            for k in range(lanes):
                out[t - first, k] = quick[k] - calm[k] - average[k]
    return out


@compiled
def ultimate(high: Array, low: Array, close: Array, short: int, medium: int, long: int, first: int) -> Array:
    """The ultimate oscillator of three spans (Williams 1985), 0 .. 100."""
    bars, lanes = close.shape
    pressure, moved = np.zeros((bars, lanes)), np.zeros((bars, lanes))
    for t in range(1, bars):
        top, bottom, now, before, bought, ranged = high[t], low[t], close[t], close[t - 1], pressure[t], moved[t]
        for k in range(lanes):
            bought[k] = now[k] - (bottom[k] if bottom[k] < before[k] else before[k])
            ranged[k] = _true_range(top[k], bottom[k], before[k])
    out = np.zeros((bars - first, lanes))
    for span, weight in ((short, 4.0), (medium, 2.0), (long, 1.0)):
        bought, ranged, idle = np.zeros(lanes), np.zeros(lanes), np.zeros(lanes)
        for t in range(long - span + 1, bars):
            coming, going, came, went = pressure[t], pressure[t - span], moved[t], moved[t - span]
            if t > long:
                for k in range(lanes):
                    bought[k] -= going[k]
                    ranged[k] -= went[k]
            for k in range(lanes):
                bought[k] += coming[k]
                ranged[k] += came[k]
            for k in range(lanes):
                idle[k] = idle[k] + 1.0 if came[k] == 0.0 else 0.0
                gone = idle[k] >= span  # what is left of sums is what rounding left of them
                bought[k], ranged[k] = 0.0 if gone else bought[k], 0.0 if gone else ranged[k]
            if t >= first:
                told = out[t - first]
                for k in range(lanes):
                    share = weight * _over(bought[k], ranged[k])
                    told[k] += share if ranged[k] > 0.0 else 0.0
    for t in range(bars - first):
        for k in range(lanes):
            out[t, k] = 100.0 * _over(out[t, k], 7.0)
    return out


@compiled
def aroon(high: Array, low: Array, span: int, first: int) -> Array:
    """How much nearer the highest high of `span + 1` bars is than the lowest low, -100 .. 100 (Chande 1995)."""
    bars, lanes = high.shape
    factor, out = 100.0 / span, np.empty((bars - first, lanes))
    for k in range(lanes):
        top, bottom, highest, lowest = -1, -1, 0.0, 0.0  # where, and how far
        for t in range(first, bars):
            begun = t - span
            if top < begun:
                top, highest = begun, high[begun, k]
                for then in range(begun + 1, t):
                    if high[then, k] >= highest:
                        top, highest = then, high[then, k]
            if bottom < begun:
                bottom, lowest = begun, low[begun, k]
                for then in range(begun + 1, t):
                    if low[then, k] <= lowest:
                        bottom, lowest = then, low[then, k]
            if high[t, k] >= highest:
                top, highest = t, high[t, k]
            if low[t, k] <= lowest:
                bottom, lowest = t, low[t, k]
            out[t - first, k] = factor * (top - bottom)
    return out


@compiled
def parabola(high: Array, low: Array, step: float, most: float, first: int) -> Array:
    """The parabolic stop (Wilder 1978), in quote. It begins long, but where the second bar reached further down."""
    bars, lanes = high.shape
    out, slowest = np.empty((bars - first, lanes)), min(step, most)
    for k in range(lanes):
        top, bottom, speed = high[1, k], low[1, k], slowest
        rise, fall = top - high[0, k], low[0, k] - bottom
        up = not (fall > 0.0 and rise < fall)
        stop, best = (low[0, k], top) if up else (high[0, k], bottom)
        for t in range(1, bars):
            upper, lower, top, bottom = top, bottom, high[t, k], low[t, k]
            if bottom <= stop if up else top >= stop:
                up, speed = not up, slowest
                told = stop = _held(up, best, upper, lower, top, bottom)
                best = top if up else bottom
            else:
                told, further = stop, top > best if up else bottom < best
                if further:
                    best, speed = top if up else bottom, min(speed + step, most)
            stop = _held(up, fused(speed, best - stop, stop), upper, lower, top, bottom)
            if t >= first:
                out[t - first, k] = told
    return out


@compiled
def slope(values: Array, span: int, first: int) -> Array:
    """The slope of the least squares line through `span` values, a bar."""
    bars, lanes = values.shape
    places = span * (span - 1) * 0.5
    spread = places * places - span * (span * (span - 1) * (2 * span - 1) // 6)
    out, total, weighed = np.empty((bars - first, lanes)), np.zeros(lanes), np.zeros(lanes)
    for t in range(bars):
        now, place = values[t], float(span - 1 - t)
        for k in range(lanes):
            if t < span:
                total[k] += now[k]
                weighed[k] += place * now[k]
            else:
                gone = values[t - span, k]
                weighed[k] = weighed[k] + total[k] - span * gone
                total[k] = total[k] - gone + now[k]
        if t >= first:
            for k in range(lanes):
                out[t - first, k] = _over(span * weighed[k] - places * total[k], spread)
    return out


@compiled
def money_flow(high: Array, low: Array, close: Array, volume: Array, span: int, first: int) -> Array:
    """Relative strength weighted by volume, 0 .. 100 (money flow index, Quong and Soudack 1989).

    What moves less than rounding does has not moved; and after `span` bars of nothing the sums are nothing again.
    """
    bars, lanes = close.shape
    into, out_of = np.zeros((bars, lanes)), np.zeros((bars, lanes))
    out = np.empty((bars - first, lanes))
    for k in range(lanes):
        gained, lost, idle = 0.0, 0.0, 0
        before = _over(high[0, k] + low[0, k] + close[0, k], 3.0)
        for t in range(1, bars):
            if t > span:
                gained -= into[t - span, k]
                lost -= out_of[t - span, k]
            now = _over(high[t, k] + low[t, k] + close[t, k], 3.0)
            change, scale = now - before, abs(now) + abs(before)
            flow = 0.0 if abs(change) <= 1e-14 * scale else now * volume[t, k]
            into[t, k], out_of[t, k] = (0.0, flow) if change < 0.0 else (flow, 0.0)
            gained += into[t, k]
            lost += out_of[t, k]
            idle = idle + 1 if flow == 0.0 else 0
            if idle >= span:
                gained, lost = 0.0, 0.0
            before = now
            if t >= first:
                total = gained + lost
                held = 0.0 if gained < 0.0 else total if gained > total else gained
                out[t - first, k] = 0.0 if total <= 0.0 else 100.0 * _over(held, total)
    return out


@compiled
def accumulation(high: Array, low: Array, close: Array, volume: Array, fast: int, slow: int, first: int) -> Array:
    """Chaikin's oscillator: a quick mean of what was accumulated less a slow one, in base."""
    bars, lanes = close.shape
    quickly, calmly = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    out = np.empty((bars - first, lanes))
    for k in range(lanes):
        held, quick, calm = 0.0, 0.0, 0.0
        for t in range(bars):
            spread = high[t, k] - low[t, k]
            if spread > 0.0:
                held += _over((close[t, k] - low[t, k]) - (high[t, k] - close[t, k]), spread) * volume[t, k]
            if t == 0:
                quick = calm = held
            else:
                quick = fused(1.0 - quickly, quick, quickly * held)
                calm = fused(1.0 - calmly, calm, calmly * held)
            if t >= first:
                out[t - first, k] = quick - calm
    return out


# --- below ----------------------------------------------------------------------------------------------------------


@part
def _over(above: Any, below: Any) -> Any:
    return above / below


@part
def _exponential(average: Any, value: Any, count: int, span: int, share: float) -> Any:
    """The exponential mean with the `count`-th value: their sum up to `span` of them, begun with their plain mean."""
    if count > span:
        return fused(value - average, share, average)
    return (average + value) / span if count == span else average + value


@part
def _true_range(high: Any, low: Any, before: Any) -> Any:
    spread, up, down = high - low, abs(before - high), abs(before - low)
    spread = up if up > spread else spread
    return down if down > spread else spread


@part
def _held(up: Any, stop: Any, upper: Any, lower: Any, top: Any, bottom: Any) -> Any:
    """`stop`, no nearer than two bars reach: no higher than their lows, on the way down no lower than their highs."""
    if up:
        stop = lower if stop > lower else stop
        return bottom if stop > bottom else stop
    stop = upper if stop < upper else stop
    return top if stop < top else stop
