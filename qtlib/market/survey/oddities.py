"""Oddities of one series, seen by itself: gaps, silence, flatness, spikes, seams, jumps of volume.

An oddity is told with every stretch of time it lies in, [from the open of its first bar, to the close of its last).
What is odd may be true: prices do crash. Nothing is mended here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.market.catalogue import Span, gaps_in
from qtlib.market.quality import OUTAGE, Mask
from qtlib.market.series import Rows
from qtlib.market.timeframes import HOUR, Micros, datetime_at

SHOWN = 6  # stretches that are told in words; an oddity has them all
SPIKE = 20.0  # times the usual range of the bars around it
SPIKE_FRAC = 0.03  # of price, at least
SEAM = 20.0  # times the usual distance from a close to the next open
SEAM_FRAC = 0.002  # of price, at least
LEVEL = 30.0  # times as much volume in the days after as in those before
FLAT = 6  # so many bars in a row at one price, with trades, are told
_AROUND = 201  # bars that say what is usual
_YOUNG = 12  # bars from the first: a listing begins slowly
_DAY = 24 * HOUR

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that a trader should know of a series."""

    series: str  # by its name, BTCUSDT-1h
    kind: str
    words: str
    spans: tuple[Span, ...] = ()  # [µs]
    doubtful: bool = False  # bars inside may be wrong, and are not to be traded on
    fatal: bool = False  # the series must not be read at all

    def __str__(self) -> str:
        return f"{self.series}: {self.words}"


def alone(name: str, rows: Rows, span: int) -> list[Oddity]:
    """What is odd in bars, by themselves. They ascend, and no time stands twice."""
    volume = rows.values["volume"]
    traded = bool(volume.any())  # mark prices have no volume, and that is not odd
    found = [_gaps(name, rows.times, span)]
    if traded:
        found += _silence(name, rows, span)
        found.append(_level(name, rows, span))
    found += [_flat(name, rows, span), _spikes(name, rows, span), _seams(name, rows, span)]
    return [oddity for oddity in found if oddity]


def stretches(mask: Mask, times: Micros, span: int) -> tuple[Span, ...]:
    """The bars that are set, as stretches of time: those that follow each other are one."""
    at = np.flatnonzero(mask)
    if not len(at):
        return ()
    breaks = np.flatnonzero((np.diff(at) > 1) | (np.diff(times[at]) != span))
    firsts, lasts = at[np.r_[0, breaks + 1]], at[np.r_[breaks, len(at) - 1]]
    return tuple((int(times[a]), int(times[b]) + span) for a, b in zip(firsts, lasts, strict=True))


def told(spans: Sequence[Span], span: int) -> str:
    """Stretches in words: each with its first open and how many bars; the longest, where there are too many."""
    shown = spans if len(spans) <= SHOWN else sorted(sorted(spans, key=lambda s: s[0] - s[1])[:SHOWN])
    words = ", ".join(f"{when(start)} ({max(1, (end - start) // (span or 1))})" for start, end in shown)
    return words if len(spans) <= SHOWN else f"{words} and {len(spans) - SHOWN} shorter"


def when(micros: int) -> str:
    return f"{datetime_at(micros):%Y-%m-%d %H:%M}"


# --- below ------------------------------------------------------------------------------------------------


def _gaps(name: str, times: Micros, span: int) -> Oddity | None:
    spans = gaps_in(times, span)
    missing = sum(end - start for start, end in spans) // span
    words = f"{missing} bars are missing in {len(spans)} gaps: {told(spans, span)}"
    return Oddity(name, "gap", words, spans) if spans else None


def _silence(name: str, rows: Rows, span: int) -> list[Oddity]:
    """Bars without a trade: before the first, after the last, in outages, and single ones."""
    silent = rows.values["volume"] == 0
    spans = stretches(silent, rows.times, span)
    first, end = int(rows.times[0]), int(rows.times[-1]) + span
    found: list[Oddity] = []
    early: list[Span] = []
    inside: list[Span] = []
    for start, until in spans:
        if until == end and until - start >= min(_DAY, 24 * span):
            after = (until - start) // span
            words = f"delisted: the last bar with a trade opens {when(start - span)}; {after} without follow"
            found.append(Oddity(name, "delisted", words, ((start, until),), doubtful=True))
        elif until <= first + _YOUNG * span:
            early.append((start, until))
        else:
            inside.append((start, until))
    if early:
        words = f"no trades in some of its first bars: {told(early, span)}"
        found.append(Oddity(name, "listing", words, tuple(early)))
    if inside:
        longest = max(end - start for start, end in inside) // span
        kind = "outage" if longest >= OUTAGE else "no trade"
        count = sum(end - start for start, end in inside) // span
        words = f"{count} bars without a trade, up to {longest} in a row: {told(inside, span)}"
        found.append(Oddity(name, kind, words, tuple(inside)))
    return found


def _flat(name: str, rows: Rows, span: int) -> Oddity | None:
    """Bars that trade and stand still: a feed that repeats its last price."""
    o, h, low, c, volume = (rows.values[column] for column in ("open", "high", "low", "close", "volume"))
    still = (o == h) & (h == low) & (low == c) & ((volume > 0) | ~volume.any())
    spans = tuple(s for s in stretches(still, rows.times, span) if s[1] - s[0] >= FLAT * span)
    words = f"prices stand still for {FLAT} bars and more: {told(spans, span)}"
    return Oddity(name, "flat", words, spans) if spans else None


def _spikes(name: str, rows: Rows, span: int) -> Oddity | None:
    """Bars that reach far out and come back at once, by what is usual around them."""
    o, h, low, c = (rows.values[column] for column in ("open", "high", "low", "close"))
    wick = np.maximum(np.log(h / np.maximum(o, c)), np.log(np.minimum(o, c) / low))
    usual = _median_around(np.log(h / low))
    out = (wick > SPIKE * usual) & (wick > SPIKE_FRAC)
    move = np.diff(np.log(c), prepend=np.log(c[0]))
    back = np.r_[move[1:], 0.0]
    both = np.minimum(np.abs(move), np.abs(back))
    out |= (move * back < 0) & (both > SPIKE * usual) & (both > SPIKE_FRAC)
    spans = stretches(out, rows.times, span)
    words = (
        f"{int(out.sum())} bars spike by more than {SPIKE:g} times the usual range and come back: {told(spans, span)}"
    )
    return Oddity(name, "spike", words, spans) if spans else None


def _seams(name: str, rows: Rows, span: int) -> Oddity | None:
    """Bars that follow each other and do not meet: the open is far from the close before."""
    o, c = rows.values["open"], rows.values["close"]
    apart = np.abs(np.log(o[1:] / c[:-1]))
    usual = max(float(np.quantile(apart, 0.99)), 1e-12) / 10 if len(apart) else 1.0
    out = np.r_[False, (apart > np.maximum(SEAM * usual, SEAM_FRAC)) & (np.diff(rows.times) == span)]
    spans = stretches(out, rows.times, span)
    widest = float(apart.max()) if len(apart) else 0.0
    words = f"{int(out.sum())} bars open away from the close before, by up to {widest:.2%}: {told(spans, span)}"
    return Oddity(name, "seam", words, spans) if spans else None


def _level(name: str, rows: Rows, span: int) -> Oddity | None:
    """Where the volume of a week is another kind of number than that of the week before."""
    day = rows.times // _DAY
    starts = np.flatnonzero(np.r_[True, np.diff(day) > 0])
    daily = np.add.reduceat(rows.values["volume"], starts) / np.diff(np.r_[starts, len(day)])
    if len(daily) < 15:
        return None
    level = pd.Series(np.where(daily > 0, daily, np.nan)).rolling(7, min_periods=4).median().to_numpy()
    after, before = level[7:], level[:-7]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(after / before, before / after)
    out = np.flatnonzero(np.nan_to_num(ratio) > LEVEL)
    if not len(out):
        return None
    at = int(rows.times[starts[out[np.argmax(ratio[out])] + 4]])
    price = float(rows.values["close"][starts[out[0] + 4]])
    factor = f"{np.nanmax(ratio):,.0f} times"
    words = f"volume changes its level by {factor} around {when(at)}, at a price of {price:g}: other units?"
    return Oddity(name, "volume level", words, ((at, at + span),))


def _median_around(values: Floats) -> Floats:
    """What is usual around each of `values`, itself included."""
    window = min(_AROUND, max(3, len(values) // 2 * 2 - 1))
    return pd.Series(values).rolling(window, center=True, min_periods=1).median().to_numpy(np.float64) + 1e-12
