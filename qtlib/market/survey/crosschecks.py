"""Oddities between series of one symbol: bars against longer bars, marks against trades, funding against its clock.

Two series that should say the same and don't: which of them is wrong is not known, so both are doubtful there.
"""

import numpy as np

from qtlib.market.catalogue import Span, union
from qtlib.market.market import aggregate
from qtlib.market.series import Rows
from qtlib.market.survey.oddities import Oddity, stretches, told, when
from qtlib.market.timeframes import HOUR, MINUTE, micros_in

PRICES_FRAC = 1e-9  # of price: the same number, added up
VOLUME_FRAC = 1e-3  # of volume: sums of rounded numbers
UNITS_FRAC = 0.02  # by which volumes may differ as a whole
APART_FRAC = 0.03  # of price, that mark and trades may be apart
HIGH_RATE = 0.005  # fraction of a notional in one settlement, beyond which it is told
_SAME_FRAC = 0.9  # of bars: fewer, and it is not the same market at the same time
_SHIFTS = [quarter * 15 * MINUTE for quarter in range(-14 * 4, 14 * 4 + 1) if quarter]


def sums(
    fine_name: str, fine: Rows, fine_span: int, coarse_name: str, coarse: Rows, coarse_timeframe: str, coarse_span: int
) -> list[Oddity]:
    """Where the shorter bars do not add up to the longer ones; both series are doubtful there."""
    summed = _summed(fine, fine_span, coarse_timeframe, coarse_span)
    _, ours, theirs = np.intersect1d(summed.times, coarse.times, assume_unique=True, return_indices=True)
    if not len(ours):
        return []
    a, b = summed.where(ours), coarse.where(theirs)
    away = np.zeros(len(a), dtype=np.bool_)
    for column in ("open", "high", "low", "close"):
        away |= np.abs(a.values[column] / b.values[column] - 1) > PRICES_FRAC
    if away.mean() > 1 - _SAME_FRAC:
        return [
            _not_the_same(
                fine_name, fine, fine_span, coarse_name, coarse, coarse_timeframe, coarse_span, float(away.mean())
            )
        ]
    found = []
    units = _units(fine_name, a, coarse_name, b)
    found += [units] if units else []
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.abs(a.values["volume"] - b.values["volume"]) > VOLUME_FRAC * np.maximum(
            b.values["volume"], a.values["volume"]
        )
    odd = away | (volume if units is None else False)
    spans = stretches(odd, a.times, coarse_span)
    if spans:
        count = f"{int(odd.sum())} of {len(odd):,}"
        finer, longer, where = fine_name.split("-", 1)[1], coarse_name.split("-", 1)[1], told(spans, coarse_span)
        words = f"{count} bars are not what bars of {finer} add up to: {where}"
        found.append(Oddity(coarse_name, "sum", words, spans, doubtful=True))
        words = f"its bars do not add up to {longer} in {count}: {where}"
        found.append(Oddity(fine_name, "sum", words, spans, doubtful=True))
    return found


def marks(name: str, rows: Rows, mark_name: str, mark: Rows, span: int) -> list[Oddity]:
    """Where mark prices are missing, and where they are far from trades."""
    found = []
    bare = stretches(~np.isin(rows.times, mark.times), rows.times, span)
    if bare:
        count = sum(end - start for start, end in bare) // span
        found.append(
            Oddity(
                mark_name, "coverage", f"no mark price for {count:,} of {len(rows):,} bars: {told(bare, span)}", bare
            )
        )
    _, ours, theirs = np.intersect1d(rows.times, mark.times, assume_unique=True, return_indices=True)
    if not len(ours):
        return found
    apart = np.abs(np.log(rows.values["close"][ours] / mark.values["close"][theirs]))
    if float(np.median(apart)) > APART_FRAC / 3:
        words = f"mark prices are {float(np.median(apart)):.1%} from trades by the median: of another market?"
        return [
            *found,
            Oddity(
                mark_name,
                "apart",
                words,
                ((int(rows.times[ours[0]]), int(rows.times[ours[-1]]) + span),),
                doubtful=True,
            ),
        ]
    spans = stretches(apart > APART_FRAC, rows.times[ours], span)
    if spans:
        most = f"by up to {float(apart.max()):.1%}"
        words = f"mark and last price are more than {APART_FRAC:.0%} apart, {most}: {told(spans, span)}"
        found.append(Oddity(name, "apart", words, spans))
    return found


def funding(name: str, rows: Rows, life: Span) -> list[Oddity]:
    """How often was settled, where that changed, what is missing, which rates are rare; `life` is that of the bars."""
    found = []
    if len(off := np.flatnonzero(rows.times % HOUR != 0)):
        found.append(
            Oddity(
                name, "grid", f"{len(off)} settlements are not on a whole hour, first {when(int(rows.times[off[0]]))}"
            )
        )
    step = np.diff(rows.times)
    if len(step):
        usual = int(np.bincount(step // HOUR).argmax()) * HOUR
        found += _cadence(name, rows, usual)
        start, end = life
        ends = [(start, int(rows.times[0])), (int(rows.times[-1]), end)]
        bare = tuple(s for s in ends if s[1] - s[0] > max(usual, 8 * HOUR))
        if bare:
            words = " and ".join(f"from {when(a)} to {when(b)}" for a, b in bare)
            found.append(Oddity(name, "coverage", f"no funding rates {words}, where there are bars", bare))
    high = np.flatnonzero(np.abs(rows.values["funding_rate"]) > HIGH_RATE)
    if len(high):
        worst = int(high[np.argmax(np.abs(rows.values["funding_rate"][high]))])
        spans = tuple((int(rows.times[at]), int(rows.times[at]) + HOUR) for at in high)
        furthest = f"{rows.values['funding_rate'][worst]:+.2%} at {when(int(rows.times[worst]))}"
        words = f"{len(high)} rates beyond {HIGH_RATE:.1%}, the furthest {furthest}"
        found.append(Oddity(name, "rate", words, spans))
    return found


# --- below ------------------------------------------------------------------------------------------------


def _summed(fine: Rows, fine_span: int, timeframe: str, span: int) -> Rows:
    frame = aggregate(fine.frame(forward=fine_span), timeframe)
    return Rows(micros_in(frame.index) - span, {str(c): frame[c].to_numpy(np.float64) for c in frame.columns})


def _not_the_same(
    fine_name: str, fine: Rows, fine_span: int, coarse_name: str, coarse: Rows, timeframe: str, span: int, away: float
) -> Oddity:
    """Another market, or another clock: by which shift do they agree?"""
    longest = min(len(fine), 200_000)
    some = fine.where(slice(0, longest))

    def agree(shift: int) -> float:
        moved = _summed(Rows(some.times + shift, some.values), fine_span, timeframe, span)
        _, ours, theirs = np.intersect1d(moved.times, coarse.times, assume_unique=True, return_indices=True)
        return float(np.mean(moved.values["close"][ours] == coarse.values["close"][theirs])) if len(ours) >= 5 else 0.0

    shift = max(_SHIFTS, key=agree)
    whole: tuple[Span, ...] = ((int(fine.times[0]), int(fine.times[-1]) + fine_span),)
    if agree(shift) >= _SAME_FRAC:
        words = f"its clock is {-shift // MINUTE:+d} minutes from that of {coarse_name}: local time?"
        return Oddity(fine_name, "clock", words, whole, doubtful=True)
    words = f"it does not add up to {coarse_name} in {away:.0%} of the bars: another market, or another symbol"
    return Oddity(fine_name, "market", words, whole, doubtful=True)


def _units(fine_name: str, a: Rows, coarse_name: str, b: Rows) -> Oddity | None:
    """Volumes that differ by a factor throughout."""
    both = (a.values["volume"] > 0) & (b.values["volume"] > 0)
    if not both.any():
        return None
    ratio = float(np.median(a.values["volume"][both] / b.values["volume"][both]))
    if abs(ratio - 1) <= UNITS_FRAC:
        return None
    price = float(np.median(b.values["close"][both]))
    like = " (the price: one of them is in quote)" if 0.5 < ratio / price < 2 or 0.5 < ratio * price < 2 else ""
    words = f"its volume is {ratio:.6g} times that of {coarse_name}{like}: other units"
    return Oddity(fine_name, "units", words, ((int(a.times[0]), int(a.times[-1])),))


def _cadence(name: str, rows: Rows, usual: int) -> list[Oddity]:
    step = np.diff(rows.times)
    found = []
    hours = np.round(step / HOUR).astype(int)
    for other in sorted(set(hours[step < usual].tolist())):
        spans = union(
            (int(rows.times[at]), int(rows.times[at + 1])) for at in np.flatnonzero((hours == other) & (step < usual))
        )
        told_spans = ", ".join(f"{when(a)} to {when(b)}" for a, b in spans[:4]) + (
            f" and {len(spans) - 4} more" if len(spans) > 4 else ""
        )
        words = f"settled every {other} h instead of every {usual // HOUR} h: {told_spans}"
        found.append(Oddity(name, "cadence", words, spans))
    missed = tuple((int(rows.times[at]), int(rows.times[at + 1])) for at in np.flatnonzero(step > 1.5 * usual))
    if missed:
        words = f"settlements are missing {len(missed)} times: after " + ", ".join(when(a) for a, _ in missed[:4])
        found.append(Oddity(name, "gap", words, missed))
    return found
