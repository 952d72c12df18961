"""An offer: the rows of one foreign file, under the name of the series they belong to, after every check.

Nothing is mended and nothing guessed: a file that breaks a check is refused, with the row and the reason. Rows are
counted as people count them, from 1, a header included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from qtlib.market.market import BadData
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.quality import check, check_funding
from qtlib.market.series import Label, Rows
from qtlib.market.timeframes import HOUR, MINUTE, Micros, datetime_at, index_of

UNITS = {10: 1_000_000, 13: 1_000, 16: 1}  # digits of a time of our days -> microseconds in one of it
_NANOS = 19


class Damaged(BadData):
    """A foreign file that must not be stored: where, and why."""


@dataclass(frozen=True, eq=False, slots=True)
class Offer:
    """What a file has to give."""

    name: Name
    rows: Rows
    label: Label
    file: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Text:
    """A table as it stands in a file: nothing is a number yet."""

    columns: Mapping[str, Sequence[str]]
    first_row: int  # what people call its first row: 2 below a header

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as finite numbers; Damaged, with the first row that is none."""
        texts = self.columns[name]
        try:
            values = np.array(texts, dtype=np.str_).astype(np.float64)
        except ValueError:
            values = np.array([_number(text) for text in texts])
        if len(bad := np.flatnonzero(~np.isfinite(values))):
            at = int(bad[0])
            why = ": a decimal comma? Numbers must have a point" if "," in texts[at] else ""
            raise Damaged(f"row {at + self.first_row}: {name} {texts[at]!r} is no number{why}")
        return values

    def times(self, name: str, zone: str | None) -> Micros:
        """A column as instants [µs]: counts of one unit since 1970, or text; text that names no zone is of `zone`."""
        texts = [text.strip() for text in self.columns[name]]
        if texts and all(text.isdigit() for text in texts):
            return counted(np.array(texts, dtype=np.int64), name, self.first_row)
        return _written(texts, name, zone, self.first_row)


def counted(stamps: npt.NDArray[np.int64], name: str, first_row: int) -> Micros:
    """Counts since 1970 as microseconds: all in the same unit, which their digits tell."""
    if not len(stamps):
        return stamps
    digits = np.floor(np.log10(np.maximum(stamps, 1))).astype(int) + 1
    if len(other := np.flatnonzero(digits != digits[0])):
        at = int(other[0])
        raise Damaged(
            f"row {at + first_row}: {name} {stamps[at]} has {digits[at]} digits, and those above have {digits[0]}: "
            "two units of time in one file"
        )
    if digits[0] == _NANOS:
        return np.asarray(stamps // 1_000)
    if digits[0] not in UNITS:
        raise Damaged(
            f"row {first_row}: {name} {stamps[0]} is no time: seconds have 10 digits, milliseconds 13, microseconds 16"
        )
    return np.asarray(stamps * UNITS[int(digits[0])])


def offered(name: Name, rows: Rows, label: Label, file: Path, first_row: int, notes: Sequence[str] = ()) -> Offer:
    """The offer that `rows` make, if they pass every check of a series; gaps are told, and no damage."""
    if not len(rows):
        raise Damaged("it has no rows")
    if name.kind == FUNDING:
        rows = Rows(rows.times // MINUTE * MINUTE, rows.values)  # the venue settles a few milliseconds late
        found = check_funding(rows.frame()["funding_rate"], name.symbol)
    else:
        found = check(rows.frame(forward=name.span), name.timeframe, name.symbol, traded=name.kind != MARKS)
    if bad := [finding for finding in found if finding.refuses and finding.kind != "gap"]:
        kinds = {finding.kind for finding in bad}
        local = _clock_change(rows.times) if kinds & {"duplicate", "order"} else ""
        told = "; ".join(f"{finding.words}{_row_of(finding.first, name, rows, first_row)}" for finding in bad)
        raise Damaged(told + local)
    gaps = [finding.words for finding in found if finding.kind == "gap"]
    return Offer(name, rows, label, file, (*notes, *gaps))


# --- below ------------------------------------------------------------------------------------------------


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _written(texts: Sequence[str], name: str, zone: str | None, first_row: int) -> Micros:
    """Times in words. Those that name a zone are instants; for others it must be said which they are of."""
    try:
        known = ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError):
        raise Damaged(f"there is no time zone {zone!r}: write it as UTC or Europe/Oslo") from None
    naive = [_is_naive(text) for text in texts]
    if any(naive) and known is None:
        at = naive.index(True)
        raise Damaged(
            f"row {at + first_row}: {name} {texts[at]!r} names no time zone, and may be local time: say which it is "
            "of with --zone, as --zone UTC"
        )
    found = pd.to_datetime(pd.Series(texts), utc=not any(naive), errors="coerce", format="ISO8601")
    if found.isna().any():
        at = int(np.flatnonzero(found.isna())[0])
        raise Damaged(f"row {at + first_row}: {name} {texts[at]!r} is no time as 2025-06-01 13:00 is one")
    if any(naive):
        found = found.dt.tz_localize(known, ambiguous="NaT", nonexistent="NaT")
        if found.isna().any():
            at = int(np.flatnonzero(found.isna())[0])
            raise Damaged(f"row {at + first_row}: {name} {texts[at]!r} is twice or never on a clock in {zone}")
    return np.asarray(pd.DatetimeIndex(found).tz_convert("UTC").as_unit("us").asi8, dtype=np.int64)


def _is_naive(text: str) -> bool:
    """Whether a time names no zone: neither Z nor an offset behind it.

    >>> _is_naive("2025-06-01 13:00:00"), _is_naive("2025-06-01T13:00:00+02:00"), _is_naive("2025-06-01T13:00Z")
    (True, False, False)
    """
    clock = text[10:]
    return not (clock.upper().endswith(("Z", "UTC")) or "+" in clock or "-" in clock)


def _row_of(at: object, name: Name, rows: Rows, first_row: int) -> str:
    """Which row of the file a finding begins at, if it is not its first."""
    closes = index_of(rows.times + name.span)
    place = np.flatnonzero(closes == at)
    return f" [row {int(place[-1]) + first_row} of the file]" if len(place) else ""


def _clock_change(times: Micros) -> str:
    """In words, that an hour stands twice in the night when clocks are set back."""
    back = np.flatnonzero(np.diff(times) <= 0)
    for at in back:
        when = datetime_at(int(times[at]))
        if when.month in (10, 11) and when.weekday() == 6 and when.hour <= 3:
            return f": an hour stands twice on {when:%Y-%m-%d}, when clocks are set back: local time, and not UTC?"
    return ": local time, and not UTC?" if len(back) and int(times[back[0]] - times[back[0] + 1]) == HOUR else ""
