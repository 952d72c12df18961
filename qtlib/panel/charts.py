"""The panel's two pictures, drawn as SVG: a symbol's candles with what was bought, sold and protected, and equity.

SVG because it is a page's own ink: it follows light and dark, costs a few kilobytes a look and no library, and is the
same after a reload. Each picture is drawn twice, wide and narrow, and the stylesheet shows the one that fits. A rising
candle is hollow and a falling one filled, lines differ in their dashes and have their name at their end.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from math import floor, log10

import numpy as np

from qtlib.domain.market import Bar
from qtlib.panel.reader import Mark, Past, Step
from qtlib.panel.sight import Held
from qtlib.report.charts import decimate
from qtlib.report.names import exit_name
from qtlib.report.words import clock, moment, number, price, say, short_moment

MOST = 500  # points of a line
RIGHT, BOTTOM, TOP = 78, 22, 10  # room for the axes


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of `width` by `height` that shows values from `low` to `high` over `slots` places."""

    width: int
    height: int
    slots: int
    low: float
    high: float

    def x(self, place: float) -> float:
        return round((place + 0.5) * (self.width - RIGHT) / max(1, self.slots), 1)

    def y(self, value: float) -> float:
        inside = (self.high - value) / (self.high - self.low)
        return round(TOP + inside * (self.height - TOP - BOTTOM), 1)


def candles(past: Past, symbol: str, held: Held | None) -> str:
    """`symbol` as it was lately; wide, and narrow."""
    return _both(_candles(past, symbol, held, 880, 360, 150), _candles(past, symbol, held, 360, 300, 60))


def equity(points: Sequence[tuple[datetime, float]]) -> str:
    return _both(_equity(points, 880, 220), _equity(points, 360, 200))


def _candles(past: Past, symbol: str, held: Held | None, width: int, height: int, most: int) -> str:
    bars: list[Bar] = list(past.bars.get(symbol, ()))[-most:]
    if len(bars) < 2:
        return _nothing(say("no bar of {symbol} was heard yet", symbol=symbol))
    steps = _within(past.steps.get(symbol, ()), bars[0].ts)
    marks = [mark for mark in past.marks if mark.symbol == symbol and mark.ts >= bars[0].ts]
    levels = [level for step in steps for level in (step.stop, step.target) if level is not None]
    shown = [held.entry] if held else []
    values = [*(bar.low for bar in bars), *(bar.high for bar in bars), *shown, *_near(levels, bars)]
    frame = _frame(width, height, len(bars), values)
    times = [bar.ts for bar in bars]
    ink = [*_grid(frame, price), *_times(frame, times)]
    half = max(0.8, (width - RIGHT) / len(bars) * 0.32)
    for place, bar in enumerate(bars):
        ink.append(_candle(frame, place, bar, half))
    ink.append(_stairs(frame, times, [(step.ts, step.stop) for step in steps], "stop"))
    ink.append(_stairs(frame, times, [(step.ts, step.target) for step in steps], "target"))
    if held is not None:
        ink.append(_entry(frame, times, held))
    ink += [_triangle(frame, times, mark) for mark in marks]
    ink += _tags(frame, held)
    ink.append(_tag(frame, bars[-1].close, "last", price(bars[-1].close)))
    label = _label(symbol, bars, held)
    return _picture(frame, label, ink)


def _equity(points: Sequence[tuple[datetime, float]], width: int, height: int) -> str:
    if len(points) < 2:
        return _nothing(say("equity was not seen yet"))
    values = np.array([value for _, value in points], dtype=float)
    kept = decimate(values, MOST)
    frame = _frame(width, height, len(points), [float(values[i]) for i in kept])
    line = " ".join(f"{frame.x(i)},{frame.y(float(values[i]))}" for i in kept)
    last = float(values[-1])
    ink = [
        *_grid(frame, lambda value: number(value, ",.0f" if frame.high - frame.low > 10 else ",.2f")),
        *_times(frame, [ts for ts, _ in points]),
        f'<polyline class="qt-line-equity" points="{line}"/>',
        _tag(frame, last, "last", number(last)),
    ]
    label = say(
        "Equity from {first} to {last}, between {low} and {high}",
        first=moment(points[0][0]),
        last=moment(points[-1][0]),
        low=number(float(values.min())),
        high=number(float(values.max())),
    )
    return _picture(frame, label, ink)


# --- ink --------------------------------------------------------------------------------------------------


def _candle(frame: Frame, place: int, bar: Bar, half: float) -> str:
    x, kind = frame.x(place), "up" if bar.close >= bar.open else "down"
    top, bottom = frame.y(max(bar.open, bar.close)), frame.y(min(bar.open, bar.close))
    told = f"{moment(bar.ts)} · {price(bar.open)} {price(bar.high)} {price(bar.low)} {price(bar.close)}"
    return (
        f'<g class="qt-{kind}"><title>{escape(told)}</title><path d="M{x} {frame.y(bar.high)}V{top}M{x} {bottom}'
        f'V{frame.y(bar.low)}"/><rect x="{x - half:.1f}" y="{top}" width="{2 * half:.1f}" '
        f'height="{max(0.6, bottom - top):.1f}"/></g>'
    )


def _stairs(frame: Frame, times: list[datetime], steps: list[tuple[datetime, float | None]], kind: str) -> str:
    """A level over time, with gaps where none rested."""
    path, last = "", None
    for ts, level in steps:
        x = frame.x(_place(times, ts))
        if level is None:
            path += f"H{x}" if last is not None else ""
        elif last is None:
            path += f"M{x} {frame.y(level)}"
        else:
            path += f"H{x}V{frame.y(level)}"
        last = level
    path += f"H{frame.x(len(times) - 1)}" if last is not None else ""
    return f'<path class="qt-line-{kind}" d="{path}"/>' if path else ""


def _entry(frame: Frame, times: list[datetime], held: Held) -> str:
    since = frame.x(_place(times, held.opened)) if held.opened else 0
    return f'<path class="qt-line-entry" d="M{since} {frame.y(held.entry)}H{frame.x(len(times) - 1)}"/>'


def _triangle(frame: Frame, times: list[datetime], mark: Mark) -> str:
    x, y = frame.x(_place(times, mark.ts)), frame.y(min(max(mark.price, frame.low), frame.high))
    bought = mark.quantity > 0
    deal = say("bought {quantity} at {price}") if bought else say("sold {quantity} at {price}")
    why = f" · {exit_name(mark.words)}" if mark.words else ""
    told = deal.format(quantity=number(abs(mark.quantity), ",.8g"), price=price(mark.price)) + why
    shape = f"M{x} {y}l-5 9h10z" if bought else f"M{x} {y}l-5 -9h10z"
    kind = "bought" if bought else "sold"
    return (
        f'<path class="qt-{kind}{"" if mark.entry else " qt-leaves"}" d="{shape}"><title>{escape(told)}</title></path>'
    )


def _tags(frame: Frame, held: Held | None) -> Iterable[str]:
    if held is None:
        return
    for kind, name, level in (
        ("stop", say("Stop"), held.stop),
        ("target", say("Target"), held.target),
        ("entry", say("Entry"), held.entry),
    ):
        if level is not None and frame.low <= level <= frame.high:
            y = frame.y(level)
            yield f'<path class="qt-across qt-line-{kind}" d="M0 {y}H{frame.width - RIGHT}"/>'
            yield f'<text class="qt-name-{kind}" x="4" y="{y - 4}">{escape(name)} {escape(price(level))}</text>'


def _tag(frame: Frame, value: float, kind: str, words: str) -> str:
    x, y = frame.width - RIGHT + 2, frame.y(value)
    return (
        f'<g class="qt-tag qt-tag-{kind}"><rect x="{x}" y="{y - 8:.1f}" width="{RIGHT - 2}" height="16" rx="2"/>'
        f'<text x="{x + 4}" y="{y + 4:.1f}">{escape(words)}</text></g>'
    )


def _grid(frame: Frame, words: Callable[[float], str]) -> Iterable[str]:
    step = _nice((frame.high - frame.low) / 5)
    value = np.ceil(frame.low / step) * step
    while value <= frame.high:
        y = frame.y(float(value))
        yield f'<path class="qt-grid" d="M0 {y}H{frame.width - RIGHT}"/>'
        yield f'<text class="qt-tick" x="{frame.width - RIGHT + 6}" y="{y + 4}">{escape(words(float(value)))}</text>'
        value += step


def _times(frame: Frame, times: list[datetime]) -> Iterable[str]:
    """About one time in 150 of the picture's units; the day, or the hour where it is all one day."""
    count = max(2, (frame.width - RIGHT) // 150)
    within = (times[-1] - times[0]).total_seconds() < 86_400
    for n in range(count):
        place = int((n + 0.5) * len(times) / count)
        words = clock(times[place]) if within else short_moment(times[place])
        yield f'<text class="qt-tick qt-when" x="{frame.x(place)}" y="{frame.height - 6}">{escape(words)}</text>'


def _picture(frame: Frame, label: str, ink: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(label)}">{"".join(ink)}</svg>'
    )


def _both(wide: str, narrow: str) -> str:
    return f'<div class="qt-picture qt-for-wide">{wide}</div><div class="qt-picture qt-for-narrow">{narrow}</div>'


def _nothing(words: str) -> str:
    return f'<p class="qt-none">{escape(words)}</p>'


# --- reckoning --------------------------------------------------------------------------------------------


def _frame(width: int, height: int, slots: int, values: list[float]) -> Frame:
    low, high = min(values), max(values)
    pad = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    return Frame(width, height, slots, low - pad, high + pad)


def _near(levels: list[float], bars: list[Bar]) -> list[float]:
    """Those of `levels` that do not press the candles flat."""
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    span = max(high - low, high * 0.002)
    return [level for level in levels if low - span <= level <= high + span]


def _within(steps: Sequence[Step], since: datetime) -> list[Step]:
    """The steps from `since` on, and what rested there when it began."""
    before = [step for step in steps if step.ts < since]
    begun = [Step(since, before[-1].stop, before[-1].target)] if before else []
    return [*begun, *(step for step in steps if step.ts >= since)]


def _place(times: list[datetime], ts: datetime) -> float:
    """Where among `times` an instant belongs."""
    return float(min(bisect_left(times, ts), len(times) - 1))


def _nice(step: float) -> float:
    """
    >>> _nice(0.34), _nice(120.0), _nice(7.0)
    (0.5, 200.0, 10.0)
    """
    size = 10.0 ** floor(log10(step))
    return float(next(size * n for n in (1, 2, 5, 10) if size * n >= step))


def _label(symbol: str, bars: list[Bar], held: Held | None) -> str:
    label = say(
        "{symbol}: {count} candles to {when}, last {price}",
        symbol=symbol,
        count=len(bars),
        when=moment(bars[-1].ts),
        price=price(bars[-1].close),
    )
    if held is None:
        return label
    levels = say(
        "entry {entry}, stop {stop}, target {target}",
        entry=price(held.entry),
        stop=price(held.stop),
        target=price(held.target),
    )
    return f"{label}; {levels}"
