"""The venue's public archive: zips of one CSV each, by day or by month.

`…/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2025-01.zip`, and likewise `markPriceKlines` and `fundingRate`. Some
have a header and some none; times are in milliseconds, and in microseconds in spot files from 2025 on. A `.CHECKSUM`
beside a zip must fit. What the folders, the zip's name, the name inside and the rows say of themselves must agree:
each row is checked against the period it is filed under, its own close, and the money that its volume is said to cost.
"""

import csv
import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qtlib.market.foreign.offer import Damaged, Offer, Text, offered
from qtlib.market.names import BARS, FUNDING, MARKS, Name
from qtlib.market.quality import COLUMNS
from qtlib.market.series import Label, Rows
from qtlib.market.timeframes import datetime_at

_NAMED = re.compile(r"([A-Z0-9]+)-(\w+)-(\d{4}-\d{2}(?:-\d{2})?)\.(?:zip|csv)")
_KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time",
    "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")
_KINDS = {"klines": BARS, "markPriceKlines": MARKS, "fundingRate": FUNDING}
_VENUES = {"um": "binanceusdm", "spot": "binance"}
_OTHERS = ("indexPriceKlines", "premiumIndexKlines", "aggTrades", "trades", "bookDepth", "metrics", "cm", "option")
_DEAREST_FRAC = 1e-3  # a price of volume may leave the bar by so much: volumes are rounded


@dataclass(frozen=True, slots=True)
class _Filed:
    """What a zip is filed under."""

    name: Name
    venue: str
    period: str  # 2025-01 or 2025-01-31


def is_archive(file: Path) -> bool:
    """Whether a file is named as those of the archive are."""
    return file.suffix == ".zip" and _NAMED.fullmatch(file.name) is not None


def read_archive(file: Path, venue: str | None = None, kind: str | None = None) -> Offer:
    """What a zip of the archive offers; `venue` and `kind` are for zips that lie outside of its folders."""
    filed = _filed(file, venue, kind)
    checked = _verified(file)
    rows = list(csv.reader(io.StringIO(_content(file, filed))))
    table = _table(rows, _FUNDING if filed.name.kind == FUNDING else _KLINES)
    label = Label(
        (f"archive {filed.venue} {'/'.join(k for k, v in _KINDS.items() if v == filed.name.kind)}",), False, filed.venue
    )
    if filed.name.kind == FUNDING:
        values = {"funding_rate": table.numbers("last_funding_rate")}
        times = table.times("calc_time", None)
    else:
        values = {column: table.numbers(column) for column in COLUMNS}
        times = table.times("open_time", None)
        _closes_fit(table, times, filed.name.span)
        if filed.name.kind == BARS:
            _money_fits(table, values)
    _within(times, filed.period, table.first_row)
    return offered(filed.name, Rows(times, values), label, file, table.first_row, checked)


# --- below ------------------------------------------------------------------------------------------------


def _filed(file: Path, venue: str | None, kind: str | None) -> _Filed:
    named = _NAMED.fullmatch(file.name)
    if named is None:
        raise Damaged("it is not named as the archive names its files, SYMBOL-1h-2025-01.zip")
    symbol, what, period = named.groups()
    folders = file.absolute().parts[:-1]
    if other := next((word for word in _OTHERS if word in folders), None):
        raise Damaged(f"it lies under {other}/, of which no series is kept")
    kinds = {_KINDS[word] for word in folders if word in _KINDS}
    venues = {_VENUES[word] for word in folders if word in _VENUES}
    if what == "fundingRate":
        kinds = {FUNDING}
        venues = venues or {_VENUES["um"]}  # spot settles none
    said_kind = _one(kinds, kind, "kind", "klines, markPriceKlines or fundingRate")
    said_venue = _one(venues, venue, "venue", "futures/um or spot")
    name = Name(symbol, "", FUNDING) if said_kind == FUNDING else Name.of(str(Name(symbol, what, said_kind)))
    if name is None:
        raise Damaged(f"{what} in its name is no timeframe of a fixed number of minutes")
    below = folders[folders.index("klines") + 1 :] if "klines" in folders else ()
    if len(below) >= 1 and below[0] != symbol:
        raise Damaged(f"it lies under {below[0]}/, and is named for {symbol}: which symbol is it?")
    if len(below) >= 2 and below[1] != what:
        raise Damaged(f"it lies under {below[1]}/, and is named for {what}: which timeframe is it?")
    return _Filed(name, said_venue, period)


def _one(found: set[str], said: str | None, what: str, where: str) -> str:
    if len(found) == 1 and (said is None or said in found):
        return found.pop()
    if not found and said:
        return said
    if not found:
        raise Damaged(f"its folders do not say which {what} it is of ({where}): say it with --{what}")
    raise Damaged(f"its {what} is {' and '.join(sorted(found))} by its folders, and {said} was asked for")


def _verified(file: Path) -> tuple[str, ...]:
    """That the checksum fits, in words; none where there is none beside it."""
    beside = file.with_name(file.name + ".CHECKSUM")
    if not beside.exists():
        return ()
    said = beside.read_text(encoding="utf-8", errors="replace").split()
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if not said or said[0].lower() != found:
        raise Damaged(
            f"its checksum is {found[:16]}…, and {beside.name} says {(said or ['nothing'])[0][:16]}…: get it again"
        )
    return ("checksum verified",)


def _content(file: Path, filed: _Filed) -> str:
    try:
        with zipfile.ZipFile(file) as opened:
            inside = opened.namelist()
            if len(inside) != 1:
                raise Damaged(f"it holds {len(inside)} files ({', '.join(inside[:3])}), and must hold one")
            if Path(inside[0]).stem != file.stem:
                raise Damaged(f"it holds {inside[0]}, and is named for {filed.name}: which symbol is it?")
            return opened.read(inside[0]).decode("utf-8")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.zlib.error) as why:  # type: ignore[attr-defined]
        raise Damaged(f"the zip is damaged or cut off ({why}): get it again") from why
    except UnicodeDecodeError as why:
        raise Damaged(f"{file.stem}.csv is no text ({why})") from why


def _table(rows: list[list[str]], columns: tuple[str, ...]) -> Text:
    """The rows below the header, if there is one, each with every column."""
    if not rows:
        raise Damaged("it is empty")
    has_header = not rows[0][0].strip().lstrip("-").isdigit()
    if has_header and tuple(cell.strip() for cell in rows[0]) != columns:
        raise Damaged(f"row 1: its columns are {', '.join(rows[0])}, and must be {', '.join(columns)}")
    first, body = (2, rows[1:]) if has_header else (1, rows)
    widths = np.array([len(row) for row in body])
    if len(bad := np.flatnonzero(widths != len(columns))):
        at = int(bad[0])
        why = ": decimal commas? Numbers must have a point" if widths[at] > len(columns) else ": cut off?"
        raise Damaged(f"row {at + first}: {widths[at]} values, and there are {len(columns)} columns{why}")
    return Text(dict(zip(columns, zip(*body, strict=True), strict=True)) if body else dict.fromkeys(columns, ()), first)


def _closes_fit(table: Text, opens: "np.ndarray[tuple[int], np.dtype[np.int64]]", span: int) -> None:
    closes = table.times("close_time", None)
    lasts = np.abs(closes - opens - span) <= 1_000  # it ends a millisecond, or a microsecond, before the next begins
    if len(bad := np.flatnonzero(~lasts)):
        at = int(bad[0])
        raise Damaged(
            f"row {at + table.first_row}: from its open to its close are {(closes[at] - opens[at]) / 6e7:g} minutes, "
            f"and a bar has {span / 6e7:g}"
        )


def _money_fits(table: Text, values: dict[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]) -> None:
    """What the volume cost, over the volume, is a price of the bar: else one of them is in another unit."""
    money, volume = table.numbers("quote_volume"), values["volume"]
    dear = money > volume * values["high"] * (1 + _DEAREST_FRAC) + 1
    cheap = money < volume * values["low"] * (1 - _DEAREST_FRAC) - 1
    if len(bad := np.flatnonzero(dear | cheap)):
        at = int(bad[0])
        raise Damaged(
            f"row {at + table.first_row}: volume {volume[at]:g} for {money[at]:g} is "
            f"{money[at] / volume[at] if volume[at] else np.inf:g} apiece, outside of {values['low'][at]:g} to "
            f"{values['high'][at]:g}: two units of volume in one file"
        )


def _within(times: "np.ndarray[tuple[int], np.dtype[np.int64]]", period: str, first_row: int) -> None:
    """Every row lies in the period that the file is named for: stamps of another zone do not."""
    unit = "M" if len(period) == 7 else "D"
    try:
        begins = np.datetime64(period, unit)  # type: ignore[call-overload]
    except ValueError:
        raise Damaged(f"{period} in its name is no date") from None
    start, end = (int(at.astype("datetime64[us]").astype(np.int64)) for at in (begins, begins + 1))
    if len(bad := np.flatnonzero((times < start) | (times >= end))):
        at = int(bad[0])
        raise Damaged(
            f"row {at + first_row}: {datetime_at(int(times[at])):%Y-%m-%d %H:%M} UTC is not in {period}, which the "
            "file is named for: local time, or another file's rows?"
        )
