"""Any venue that ccxt knows: what it has is what is stored, however it answers; what it has not is refused in words."""

import contextlib

import ccxt.async_support as ccxt
import pytest
from a_foreign_venue import BARS, FIRST_MS, HOUR_MS, NOW_MS, RATES, Bybit, Okx

from qtlib.exchanges.ccxt_past import CcxtPast
from qtlib.market.names import FUNDING, MARKS, Name
from qtlib.market.series import Series
from qtlib.runs.data.fetch import hung_up, run

HOURLY, HOURLY_MARKS, RATED = Name("BTCUSDT", "1h"), Name("BTCUSDT", "1h", MARKS), Name("BTCUSDT", "", FUNDING)
BEFORE = (FIRST_MS - 900 * HOUR_MS) * 1_000


def fetched(made, folder, names, start=BEFORE, **said):
    @contextlib.asynccontextmanager
    async def connect():
        exchange = made({"enableRateLimit": False})
        for name, value in said.items():
            setattr(exchange, name, value)
        async with hung_up(CcxtPast(exchange)) as past:
            yield past

    return run(connect, folder, names, start)


def held(folder, name):
    rows, label = Series(folder, str(name)).load(name.columns)
    return {at // 1_000: cells for at, *cells in zip(rows.times.tolist(), *rows.values.values(), strict=True)}, label


@pytest.mark.parametrize("made", [Bybit, Okx])
def test_what_the_venue_has_is_what_is_stored_whichever_of_it_comes_first(made, tmp_path):
    told = fetched(made, tmp_path, [HOURLY, HOURLY_MARKS, RATED])
    assert [one.refused for one in told] == ["", "", ""]
    over = {at: cells for at, cells in BARS.items() if at + HOUR_MS < NOW_MS}
    bars, label = held(tmp_path, HOURLY)
    assert bars == over
    assert (label.venue, label.simulated) == (made.__name__.lower(), False)
    assert {at: cells[:4] for at, cells in held(tmp_path, HOURLY_MARKS)[0].items()} == {
        at: cells[:4] for at, cells in over.items()
    }
    assert held(tmp_path, RATED)[0] == {at: [rate] for at, rate in RATES.items() if at < NOW_MS - HOUR_MS // 2}


def test_a_venue_that_has_only_the_latest_is_not_taken_for_one_with_a_hole(tmp_path):
    [refused] = fetched(Bybit, tmp_path, [HOURLY], latest_only=True)
    assert "bybit gives nothing of BTCUSDT before 2026-" in refused.refused
    assert "--start" in refused.refused
    recent = 1_000 * (NOW_MS - 200 * HOUR_MS)
    [whole] = fetched(Bybit, tmp_path, [HOURLY], recent, latest_only=True)
    assert (whole.refused, whole.new) == ("", 199)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (Name("ETHUSDT", "1h", MARKS), "ETHUSDT at bybit is spot, and has no mark prices: leave them out"),
        (Name("ETHUSDT", "", FUNDING), "ETHUSDT at bybit is spot, and has no funding: leave them out"),
        (Name("NOUSDT", "1h"), "bybit has no NOUSDT"),
        (Name("BTCUSDT", "7m"), "bybit has no bars of 7m; it has 1m, 3m, 5m"),
    ],
)
def test_what_a_venue_has_not_is_refused_in_words(name, words, tmp_path):
    [refused] = fetched(Bybit, tmp_path, [name])
    assert words in refused.refused
    assert not Series(tmp_path, str(name)).exists()


def test_last_prices_are_never_taken_for_mark_prices(tmp_path):
    class Plain(Bybit):  # ccxt would ask it for bars, and leave the word for mark prices unread
        def describe(self):
            return self.deep_extend(super().describe(), {"has": {"fetchMarkOHLCV": False}})

    [refused] = fetched(Plain, tmp_path, [HOURLY_MARKS])
    assert "gives no mark prices away: leave them out" in refused.refused
    assert issubclass(Plain, ccxt.bybit)
