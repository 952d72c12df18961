"""Commands reach a session through its journal, from another thread or process, and are answered there."""

import json
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from itertools import count

import pytest
from builders import BTC, ETH, make_bars, some_rules
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.domain.commands import Verb
from qtlib.domain.decisions import Moment
from qtlib.domain.events import Filled
from qtlib.domain.naming import role_of
from qtlib.domain.orders import Role
from qtlib.engine.feeds import Past, lived, replay
from qtlib.engine.session import Name, session
from qtlib.exchanges.simulated import Conduct, SimulatedExchange
from qtlib.journal import Journal
from qtlib.learning.strategies import Trend
from qtlib.runs.record.commands import ask, brake
from qtlib.runs.record.folder import RunsError, journal_location
from qtlib.runs.session.overview import overview

STRATEGY = Trend(fast=4, medium=8, slow=12, volatility_span=12)
HISTORY = Past({"BTCUSDT": make_bars(400, seed=7, vol=0.012), "ETHUSDT": make_bars(400, seed=8, vol=0.012)})
RUN = count(1)


@pytest.fixture
def venue():
    return SimulatedExchange({"BTCUSDT": BTC, "ETHUSDT": ETH}, Decimal(10_000), Conduct())


@contextmanager
def trading(root, venue, bars=40):
    """A session in a thread of its own: `bars` bars at once, then heartbeats until the block ends."""
    traded, ended, failed = threading.Event(), threading.Event(), []

    def moments(start):
        feed = lived(venue, replay(HISTORY, STRATEGY, after=start.decided))
        for _, moment in zip(range(bars), feed, strict=False):
            yield moment
            last = moment
        yield Moment(last.ts, {})
        traded.set()
        while not ended.wait(0.02):
            yield Moment(last.ts, {})

    def engine():
        name = f"run-{next(RUN)}"
        try:
            with Journal(journal_location("main", root), "main") as journal, journal.lease(name):
                session(moments(journal.state()), some_rules(), venue, journal, name=Name(run_id=name))
        except BaseException as why:
            failed.append(why)
            traded.set()
            raise

    thread = threading.Thread(target=engine)
    thread.start()
    assert traded.wait(60)
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
    assert not failed


def settled(true, seconds=2):
    """Wait until `true()`; what a command brings about has two seconds for it."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    assert true()


def stops_of(venue):
    """The working stop that rests at the venue, by symbol."""
    orders = [order.intent for order in venue.view.book.orders.values()]
    return {i.symbol: i.trigger for i in orders if role_of(i.client_id) is Role.STOP_LOSS}


def entries(root, after=0):
    """The number of the newest event, and how many entries were filled beyond `after`."""
    with Journal(journal_location("main", root), "main") as journal:
        filled = [event.fill for _, event in journal.events(after) if isinstance(event, Filled)]
        return journal.last, sum(role_of(fill.client_id) is Role.ENTRY for fill in filled)


def held(root):
    return overview("main", root)["journal"]


def test_a_session_answers_within_two_seconds_and_does_what_was_asked(tmp_path, venue):
    with trading(tmp_path, venue):
        for verb, status in ((Verb.PAUSE, "reducing"), (Verb.RESUME, "active"), (Verb.REDUCE, "reducing")):
            told = ask("main", verb, root=tmp_path)
            assert (told["outcome"], held(tmp_path)["status"]) == ("done", status)
            assert told["seconds"] < 2
        assert ask("main", Verb.RESUME, root=tmp_path)["outcome"] == "refused"
        assert held(tmp_path)["positions"]
        assert ask("main", Verb.FLATTEN, root=tmp_path)["outcome"] == "done"
        until = time.monotonic() + 2
        while venue.account.positions and time.monotonic() < until:
            time.sleep(0.02)
        assert not venue.account.positions
        assert not venue.view.book.orders


def test_one_that_was_killed_enters_nothing_in_any_session_until_it_is_re_armed(tmp_path, venue):
    with trading(tmp_path, venue):
        assert ask("main", Verb.KILL, root=tmp_path)["outcome"] == "done"
    last, _ = entries(tmp_path)
    with trading(tmp_path, venue, bars=60):
        assert entries(tmp_path, last)[1] == 0
        shown = brake("main", tmp_path)
        assert (shown["command"], shown["equity_then_quote"] > 0) == ("kill", True)
        assert ask("main", Verb.REARM, code="000000", root=tmp_path)["outcome"] == "refused"
        assert ask("main", Verb.REARM, code=shown["code"], root=tmp_path)["outcome"] == "done"
    with trading(tmp_path, venue, bars=200):
        assert entries(tmp_path, last)[1] > 0


def test_with_no_session_a_kill_waits_for_the_next_one_and_a_pause_expires(tmp_path, venue):
    with trading(tmp_path, venue, bars=1):
        pass
    began = time.monotonic()
    told = ask("main", Verb.KILL, root=tmp_path)
    assert (told["outcome"], told["session"], told["expires"]) == ("waiting", None, None)
    assert "when the next one starts" in told["words"]
    assert ask("main", Verb.PAUSE, root=tmp_path)["expires"]
    assert time.monotonic() - began < 3  # nobody is waited for
    assert [row["command"] for row in held(tmp_path)["waiting"]] == ["kill", "pause"]
    with trading(tmp_path, venue):
        assert held(tmp_path)["brake"]["command"] == "kill"
        assert entries(tmp_path)[1] == 0


def test_an_account_that_nothing_ever_traded_for_is_told_so(tmp_path):
    with pytest.raises(RunsError, match="no journal yet"):
        ask("main", Verb.KILL, root=tmp_path)


def test_on_the_command_line_re_arming_takes_two_steps(tmp_path, venue, monkeypatch):
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    qt = CliRunner()
    with trading(tmp_path, venue):
        assert "nothing holds account main back" in qt.invoke(app, ["rearm"]).output
        killed = qt.invoke(app, ["kill", "--json"])
        assert (killed.exit_code, json.loads(killed.output)["outcome"]) == (0, "done")
        refused = qt.invoke(app, ["resume"])
        assert refused.exit_code == 3
        assert "only `qt rearm` ends" in refused.output
        first = qt.invoke(app, ["rearm"]).output
        assert "killed by" in first
        assert "equity then" in first
        code = first.partition("--confirm ")[2].split()[0]
        done = qt.invoke(app, ["rearm", "--confirm", code])
        assert (done.exit_code, held(tmp_path)["status"]) == (0, "active")


def test_a_stop_is_moved_nearer_a_position_closed_and_trading_goes_on(tmp_path, venue):
    with trading(tmp_path, venue):
        row = held(tmp_path)["positions"][0]
        symbol, sign = row["symbol"], 1 if row["side"] == "long" else -1
        stop = stops_of(venue)[symbol]
        nearer = (stop + (Decimal(str(row["price"])) - stop) / 2).quantize(Decimal("0.01"))
        told = ask("main", Verb.TIGHTEN, symbol=symbol, price=nearer, root=tmp_path)
        assert (told["outcome"], told["seconds"] < 2) == ("done", True)
        settled(lambda: stops_of(venue)[symbol] == nearer)
        back = ask("main", Verb.TIGHTEN, symbol=symbol, price=stop, root=tmp_path)
        assert (back["outcome"], stops_of(venue)[symbol]) == ("refused", nearer)
        assert sign * (nearer - stop) > 0
        others = set(venue.account.positions) - {symbol}
        assert ask("main", Verb.CLOSE, symbol=symbol, root=tmp_path)["outcome"] == "done"
        settled(lambda: set(venue.account.positions) == others)
        assert held(tmp_path)["status"] == "active"


def test_a_limit_that_is_tightened_makes_the_next_order_smaller_and_outlasts_the_session(tmp_path, venue):
    def dearest_entry(after):
        with Journal(journal_location("main", tmp_path), "main") as journal:
            fills = [e.fill for _, e in journal.events(after) if isinstance(e, Filled)]
            worth = [f.quantity * f.price for f in fills if role_of(f.client_id) is Role.ENTRY]
            return journal.last, max(worth, default=Decimal(0))

    with trading(tmp_path, venue, bars=100):
        last, dearest = dearest_entry(0)
        assert dearest > 60
        told = ask("main", Verb.LIMITS, limits={"max_notional_per_trade": 60.0}, root=tmp_path)
        assert told["outcome"] == "done"
        loosened = ask("main", Verb.LIMITS, limits={"max_notional_per_trade": 90.0}, root=tmp_path)
        assert (loosened["outcome"], "say why" in loosened["words"]) == ("refused", True)
    with trading(tmp_path, venue, bars=200):
        assert 0 < dearest_entry(last)[1] <= 60


def test_a_session_that_is_told_to_stop_ends_in_order(tmp_path, venue):
    with trading(tmp_path, venue):
        open_now = dict(venue.account.positions)
        assert ask("main", Verb.STOP, root=tmp_path)["outcome"] == "done"
        settled(lambda: held(tmp_path)["session"] is None)
    assert venue.account.positions == open_now
    assert set(stops_of(venue)) == set(open_now)
    with pytest.raises(RunsError, match="none to stop"):
        ask("main", Verb.STOP, root=tmp_path)
