"""How fast a session reacts, over the wire: from a closed bar to its orders, from a fill to its stop, from a start to
everything protected. The venue is a process of its own on loopback, as in a session; so is the retrain that reactions
are measured beside, begun as a session begins it."""

import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from builders import beliefs

from qtlib.domain.decisions import Moment
from qtlib.domain.learned import RetrainOutcome
from qtlib.domain.orders import OrderIntent, Role, Side, Submit
from qtlib.engine.auditor import Unwatched
from qtlib.engine.live import Subject, streamed
from qtlib.engine.loop import trade
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.modes import Mode
from qtlib.journal import Journal
from qtlib.market import Market, Store
from qtlib.market.timeframes import HOUR, datetime_at, micros_at
from qtlib.params import resolve
from qtlib.rules.limits import RiskLimits
from qtlib.rules.rules import Rules
from qtlib.rules.sizing import SizingParams
from qtlib.rules.tpsl import ExitParams
from qtlib.runs import wiring
from qtlib.runs.believing.retrainer import Retrainer
from qtlib.runs.session.venue import VenueProcess

HERE = Path(__file__).parent
SPAN = timedelta(minutes=1)
NOISE_FRAC = 0.0004  # of price: what a bar moves
FACTS = "{tick: 0.001, lot: 0.01, min_notional: 5}"


def symbols(count):
    return tuple(f"S{n:03d}USDT" for n in range(count))


def settings(folder, names, speed):
    """A market of `names`, in bars of a minute, that goes at `speed`."""
    rng = np.random.default_rng(7)
    index = pd.date_range("2026-01-01", periods=1200, freq="1min", tz="UTC", name="ts")
    bars = {}
    for name in names:
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, NOISE_FRAC, len(index)))), 3)
        opened = np.r_[100.0, close[:-1]]
        spread = {"high": np.maximum(opened, close) + 0.01, "low": np.minimum(opened, close) - 0.01}
        bars[name] = pd.DataFrame({"open": opened, **spread, "close": close, "volume": 1e6}, index=index)
    Store(folder / "bars").write(Market.of(bars, "1m"))
    facts = ", ".join(f"{name}: {FACTS}" for name in names)
    file = folder / "params.yaml"
    file.write_text(
        f"mode: sim\nvenue: {{balance: 10000000, speed: {speed or 'null'}, symbols: {{{facts}}}}}\n"
        f"data: {{source: files, path: {folder / 'bars'}, timeframe: 1m}}\n"
        f"universe: {{symbols: [{', '.join(names)}]}}\n"
    )
    return resolve(file, [], {}).params


@dataclass(frozen=True)
class Contrary:
    """Wants to be long after a bar that fell far and short after one that rose: of fifty symbols two, at each bar."""

    lookback: int = 169
    name: str = "contrary"

    def signals(self, panel):
        moved = np.diff(np.log(panel.close), axis=-1, prepend=np.nan)
        return beliefs(panel, np.where(np.abs(moved) > 2 * NOISE_FRAC, -np.sign(moved), 0.0), 0.9, 0.005)


def rules(instruments):
    free = {"max_positions": 1_000, "max_gross_exposure": 1e7, "max_net_exposure": 1e7, "max_cluster_exposure": 1e7}
    free |= {"max_day_fees_frac": 0.2, "max_losses_in_row": 10_000, "cooldown_s": 0.0, "max_leverage": 100.0}
    exits = ExitParams(time_stop_s=120.0)
    return Rules(instruments, SizingParams(confidence_threshold=0.5), RiskLimits(**free), exits)


class Seasoned(VenueProcess):
    """A venue whose market has a past: strategies need not warm up."""

    def _options(self):
        words = super()._options()
        words[words.index("--past") + 1] = "400"
        return words


class Stamps:
    """When the HTTP request of each order left, and when its answer was there."""

    def __init__(self, client):
        self.sent, self.answered, self._fetch = {}, {}, client.fetch
        client.fetch = self.fetch

    async def fetch(self, url, method="GET", headers=None, body=None):
        name = self.name_in(body) if method == "POST" and "rder" in url else None
        if name:
            self.sent[name] = time.perf_counter()
        answer = await self._fetch(url, method, headers, body)
        if name:
            self.answered[name] = time.perf_counter()
        return answer

    @staticmethod
    def name_in(body):
        pairs = dict(pair.split("=", 1) for pair in str(body or "").split("&") if "=" in pair)
        return pairs.get("newClientOrderId") or pairs.get("clientAlgoId")


class Arrivals:
    """What the adapter puts the market's bars into: it notes when the last one came, however long it waits there."""

    def __init__(self, queue):
        self._queue, self.at = queue, 0.0

    def put(self, said):
        if hasattr(said, "bar"):
            self.at = time.perf_counter()
        self._queue.put(said)

    def __getattr__(self, name):
        return getattr(self._queue, name)


class Ears:
    """The adapter, whose queue is listened at."""

    def __init__(self, exchange):
        self.exchange, self.arrivals = exchange, None

    def __getattr__(self, name):
        return getattr(self.exchange, name)

    def watch(self, symbols, timeframe):
        queue = self.exchange.watch(symbols, timeframe)
        self.arrivals = self.exchange._watching.heard = Arrivals(queue)
        return queue


def reactions(moments=30, count=50, speed=60.0):
    """Milliseconds from a closed bar to each of its orders, and from each fill to its confirmed stop."""
    to_order, to_stop = [], []
    with tempfile.TemporaryDirectory() as folder:
        params = settings(Path(folder), symbols(count), speed)
        venue = Seasoned(params, Path(folder))
        venue.start()
        try:
            with open_exchange(Mode.SIM, params.universe.symbols, url=venue.wait_until_ready()) as exchange:
                ears, stamps = Ears(exchange), Stamps(exchange._client)
                listed = exchange.instruments(params.universe.symbols)
                subject = Subject(Contrary(), params.universe.symbols, "1m", SPAN)
                journal = Journal(Path(folder) / "journal.sqlite")
                feed = streamed(ears, subject, stale_s=1e9)

                def until():
                    seen = 0
                    for moment in feed:
                        heard = ears.arrivals.at
                        before = set(stamps.sent)
                        yield moment
                        seen += bool(moment.signals)
                        if seen > 3 and moment.signals:  # connections are warm
                            asked = {n: t for n, t in stamps.sent.items() if n not in before}
                            to_order.extend(1e3 * (t - heard) for n, t in asked.items() if _role(n) == "e")
                            to_stop.extend(_to_stops(stamps, asked))
                        if seen >= moments:
                            return

                trade(until(), rules(listed), exchange, journal, Unwatched())
                journal.close()
        finally:
            venue.end()
    return to_order, to_stop


class Retrains:
    """Retrains on ten symbols and two years of hours, as a session begins them, one after the other."""

    def __init__(self, folder: Path) -> None:
        ten = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,LINKUSDT,NEARUSDT,ADAUSDT,BNBUSDT,DOGEUSDT,AVAXUSDT"
        settled = resolve(HERE.parent / "params/learning.yaml", [f"universe.symbols=[{ten}]"], {})
        file = folder / "retrains" / "params.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(settled.dump_yaml())
        self.until = datetime_at(micros_at(wiring.simulated_market(settled.params).start) + 17_520 * HOUR)
        self.cpu_s, self.wall_s = [], []
        self._beside = Retrainer(file, folder / "models", "bench")
        self._over = threading.Event()
        self._worker = threading.Thread(target=self._on_and_on)

    def once(self, number: int = 1) -> None:
        """One of them, to its end."""
        before, begun = os.times(), time.perf_counter()
        self._beside.begin(number, self.until)
        while not self._beside.wait(0.2):
            if self._over.is_set():
                self._beside.end()
                return
        ended = self._beside.ended(number, self.until)
        if ended is None or ended.outcome is RetrainOutcome.FAILED:
            raise RuntimeError(f"retrain {number} came to nothing: {ended and ended.words}")
        after = os.times()
        self.cpu_s.append(sum(after[2:4]) - sum(before[2:4]))
        self.wall_s.append(time.perf_counter() - begun)

    def _on_and_on(self) -> None:
        for number in count(1):
            if self._over.is_set():
                return
            self.once(number)

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._worker.join()


def _to_stops(stamps, asked):
    entries = {n.split("-")[1]: n for n in asked if _role(n) == "e" and n in stamps.answered}
    stops = {n.split("-")[1]: n for n in asked if _role(n) == "s" and n in stamps.answered}
    return [1e3 * (stamps.answered[stops[s]] - stamps.answered[n]) for s, n in entries.items() if s in stops]


def _role(name):
    return name.split("-")[2][:1]


def recovery_s(count=100):
    """Seconds from the start of a session that knows nothing to `count` positions with confirmed stops."""
    with tempfile.TemporaryDirectory() as folder:
        params = settings(Path(folder), symbols(count), None)
        venue = Seasoned(params, Path(folder))
        venue.start()
        try:
            with open_exchange(Mode.SIM, params.universe.symbols, url=venue.wait_until_ready()) as exchange:
                listed = exchange.instruments(params.universe.symbols)
                for first in range(0, count, 25):
                    names = params.universe.symbols[first : first + 25]
                    by_hand = [OrderIntent(f"web-{n}", n, Side.BUY, listed[n].lot * 100, Role.FOREIGN) for n in names]
                    exchange.carry_out([Submit(intent) for intent in by_hand])
                time.sleep(10.5)  # the venue counts orders in ten seconds
                begun = time.perf_counter()
                done = []

                class Until(Unwatched):
                    def look(self, state):
                        bare = [t for t in state.trades.values() if t.naked_since is not None]
                        if len(state.trades) == count and not bare and not done:
                            done.append(time.perf_counter() - begun)

                journal = Journal(Path(folder) / "journal.sqlite")
                trade([Moment(exchange.now, {})], rules(listed), exchange, journal, Until())
                journal.close()
        finally:
            venue.end()
    return done[0]


def quantile(values, share):
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def figures():
    """What a session on fifty symbols waits for, alone and beside a retrain; how long a retrain and a recovery take."""
    orders, stops = reactions()
    for what, values, targets in (
        ("closed bar to order sent, 50 symbols", orders, ("< 15", "< 60")),
        ("fill to stop confirmed, 50 symbols", stops, ("< 25", "< 150")),
    ):
        for share, target in zip((0.5, 0.99), targets, strict=True):
            yield f"{what}, p{share * 100:.0f} of {len(values)}", "ms", quantile(values, share), values, target
    yield from beside_a_retrain(orders, stops)
    seconds = [recovery_s() for _ in range(3)]
    yield "start to 100 found positions with confirmed stops", "s", statistics.median(seconds), seconds, "< 3"


def beside_a_retrain(orders, stops):
    """The same while a retrain runs, against `orders` and `stops` without; then a retrain alone."""
    with tempfile.TemporaryDirectory() as folder:
        with Retrains(Path(folder)):
            beside = reactions()
        for what, usual, now in zip(("to order", "to stop"), (orders, stops), beside, strict=True):
            ratio = quantile(now, 0.99) / quantile(usual, 0.99)
            yield f"  {what} beside a retrain, p99 over the usual", "x", ratio, [ratio], "< 2"
    with tempfile.TemporaryDirectory() as folder:
        alone = Retrains(Path(folder))
        alone.once()
    yield "a retrain, 10 symbols and 2 years of hours", "s", alone.wall_s[0], alone.wall_s, "< 60"
    yield "  its CPU", "s", alone.cpu_s[0], alone.cpu_s, ""
