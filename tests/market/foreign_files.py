"""Foreign files for tests, made from rows: as the venue's archive and freqtrade write them."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
from builders import make_bars
from stored_bars import rows_of

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
JANUARY = pd.Timestamp("2025-01-01", tz="UTC")
DAY = rows_of(make_bars(24, seed=5, t0=JANUARY))


def lines_of(rows, minutes=60, unit=1_000):
    """The archive's lines of `rows`; `unit` microseconds are one of its times."""
    found = []
    for at, *values in zip(
        rows.times.tolist(), *(rows.values[c] for c in ("open", "high", "low", "close", "volume")), strict=True
    ):
        o, h, low, c, v = (float(value) for value in values)
        closes = (at + minutes * 60_000_000) // unit - 1
        found.append(f"{at // unit},{o!r},{h!r},{low!r},{c!r},{v!r},{closes},{v * c!r},10,1.0,{c!r},0")
    return found


def a_zip(
    folder,
    lines=None,
    name="BTCUSDT-1h-2025-01-01",
    inside=None,
    header=True,
    below="futures/um/daily/klines/BTCUSDT/1h",
):
    place = folder / below
    place.mkdir(parents=True, exist_ok=True)
    lines = lines_of(DAY) if lines is None else lines
    text = "\n".join([HEADER, *lines] if header else lines) + "\n"
    file = place / f"{name}.zip"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(f"{inside or name}.csv", text)
    file.write_bytes(made.getvalue())
    return file


def with_checksum(file, digest=None):
    digest = digest or hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(file.name + ".CHECKSUM").write_text(f"{digest}  {file.name}\n")
    return file


def a_feather(folder, rows=DAY, name="BTC_USDT_USDT-1h-futures", **columns):
    frame = pd.DataFrame(
        {"date": pd.to_datetime(rows.times, unit="us", utc=True).as_unit("ms"), **rows.values, **columns}
    )
    frame.to_feather(folder / f"{name}.feather")
    return folder / f"{name}.feather"


def a_json(folder, rows=DAY, name="BTC_USDT-1h"):
    table = zip((rows.times // 1_000).tolist(), *(np.asarray(v).tolist() for v in rows.values.values()), strict=True)
    (folder / f"{name}.json").write_text(json.dumps([list(row) for row in table]))
    return folder / f"{name}.json"


def a_csv(
    folder, rows=DAY, name="BTCUSDT-1h", times="%Y-%m-%dT%H:%M:%SZ", zone="UTC", delimiter=",", decimal=".", header=None
):
    at = pd.to_datetime(rows.times, unit="us", utc=True).tz_convert(zone)
    frame = pd.DataFrame({"timestamp": at.strftime(times), **rows.values})
    frame.to_csv(
        folder / f"{name}.csv", index=False, sep=delimiter, decimal=decimal, header=header or list(frame.columns)
    )
    return folder / f"{name}.csv"
