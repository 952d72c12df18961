"""What freqtrade keeps: `BTC_USDT_USDT-1h-futures.feather`, `BTC_USDT-5m.json` and the like, a file a series.

Its bars are stamped with their open in UTC; a rate of funding stands in `open` of a bar, or in a column of its own.
"""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from qtlib.market.foreign.offer import Damaged, Offer, counted, offered
from qtlib.market.names import BARS, FUNDING, MARKS, Name
from qtlib.market.quality import COLUMNS
from qtlib.market.series import Label, Rows

_NAMED = re.compile(
    r"([A-Z0-9]+(?:_[A-Z0-9]+)+)-(\d+[mhd])(?:-(futures|mark|funding_rate|spot))?\.(feather|json|json\.gz)"
)
_KINDS = {None: BARS, "spot": BARS, "futures": BARS, "mark": MARKS, "funding_rate": FUNDING}


def is_freqtrade(file: Path) -> bool:
    """Whether a file is named as freqtrade names its own."""
    return _NAMED.fullmatch(file.name) is not None


def read_freqtrade(file: Path, venue: str | None = None) -> Offer:
    """What a file of freqtrade's offers; `venue` where it is another than Binance."""
    named = _NAMED.fullmatch(file.name)
    if named is None:
        raise Damaged("it is not named as freqtrade names its files, BTC_USDT_USDT-1h-futures.feather")
    pair, timeframe, said, form = named.groups()
    words = pair.split("_")
    symbol, kind = "".join(words[:2]), _KINDS[said]
    perpetual = len(words) > 2 or said in ("futures", "mark", "funding_rate")
    name = Name(symbol, "", FUNDING) if kind == FUNDING else Name(symbol, timeframe, kind)
    rows = _from_feather(file, kind) if form == "feather" else _from_json(file, kind)
    label = Label((f"freqtrade {said or 'spot'}",), False, venue or ("binanceusdm" if perpetual else "binance"))
    return offered(name, rows, label, file, 1)


# --- below ------------------------------------------------------------------------------------------------


def _from_feather(file: Path, kind: str) -> Rows:
    try:
        table = feather.read_table(file)
    except (pa.ArrowException, OSError) as why:
        raise Damaged(f"it can't be read as feather ({str(why).splitlines()[0]}): get it again") from why
    columns = _columns(kind, table.column_names)
    stamps = table.column("date")
    if not pa.types.is_timestamp(stamps.type) or stamps.type.tz is None:
        raise Damaged(f"date is {stamps.type}, and must be a time with a zone")
    times = np.asarray(stamps.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)
    return Rows(times, {ours: _finite(table.column(theirs).to_numpy(), theirs) for ours, theirs in columns.items()})


def _from_json(file: Path, kind: str) -> Rows:
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        rows = json.loads(text)
    except (ValueError, OSError, EOFError) as why:
        raise Damaged(f"it can't be read as JSON ({why}): cut off?") from why
    names = ["date", *COLUMNS]
    if not isinstance(rows, list):
        raise Damaged("it must be a list of rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names) or not all(type(cell) in (int, float) for cell in row):
            raise Damaged(f"row {number}: {str(row)[:80]} must be {len(names)} numbers: {', '.join(names)}")
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    times = counted(np.array(cells[0], dtype=np.int64), "date", 1)
    values = dict(zip(names, cells, strict=True))
    return Rows(
        times, {ours: _finite(np.array(values[theirs]), theirs) for ours, theirs in _columns(kind, names).items()}
    )


def _columns(kind: str, there: list[str]) -> dict[str, str]:
    """Our names of the columns, and theirs."""
    if kind == FUNDING:
        return {"funding_rate": "funding_rate" if "funding_rate" in there else "open"}
    if missing := [name for name in COLUMNS if name not in there]:
        raise Damaged(f"it has no column {', '.join(missing)}; it has {', '.join(there)}")
    return {name: name for name in COLUMNS}


def _finite(
    values: "np.ndarray[tuple[int], np.dtype[np.float64]]", name: str
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    found = np.asarray(values, dtype=np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(found))):
        raise Damaged(f"row {int(bad[0]) + 1}: {name} {found[bad[0]]} is no finite number")
    return found
