"""The panel in a real browser, over a session in another process: it shows what happens, and what is asked is done."""

import os
import re
import signal
import time
from contextlib import suppress
from itertools import product
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from a_browser import a_browser, serious
from a_lab import NOTEBOOKS, a_lab, opened, run_all
from a_session import PATIENCE_S, WORDS, events, records, served, state, trading, waited_for
from playwright.sync_api import TimeoutError

from qtlib.domain.commands import Outcome, Verb
from qtlib.domain.events import CommandAnswered, Filled, OrderRequested, TradingStatus
from qtlib.domain.naming import role_of
from qtlib.domain.orders import Role
from qtlib.panel.reader import resting

ROWS = ".qt-positions tbody tr"
PATIENCE_MS = PATIENCE_S * 1000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def session(root):
    with trading(root) as process:
        yield process


@pytest.fixture(scope="module")
def page(root, session):
    """The panel's page, as `qt panel` serves it, and what it asked for and complained of."""
    with served(root, *WORDS) as url, a_browser() as browser:
        shown = browser.new_page(viewport={"width": 1440, "height": 1000})
        shown.asked, shown.complaints = [], []
        shown.on("request", lambda request: shown.asked.append(request.url))
        shown.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.set_default_timeout(PATIENCE_MS)
        shown.url_without_token = url
        shown.goto(f"{url}?token=told", timeout=PATIENCE_MS)
        try:
            shown.wait_for_selector(".qt-panel .qt-head")
        except TimeoutError as why:
            pytest.fail(f"{why}\n{shown.inner_text('body')[-2000:]}\n{(root / 'panel.log').read_text()[-2000:]}")
        yield shown


def press(page, name, timeout=PATIENCE_MS):
    page.locator(f".qt-do-{name}:enabled").click(timeout=timeout)


def confirm(page, word):
    page.locator(".qt-word-typed input").fill(word)
    press(page, "confirm")


def done(page, root, verb):
    """The newest command is `verb`, was carried out within two seconds of a machine's own, and the page says so."""
    name = {"close": "Close position", "limits": "Set limit"}.get(verb.value, verb.value.capitalize())
    name = {"rearm": "Re-arm", "reduce": "Reduce only", "flatten": "Flatten all"}.get(verb.value, name)
    name = {"tighten": "Move stop", "stop": "Stop session"}.get(verb.value, name)
    page.wait_for_selector(f".qt-commands tbody tr:first-child:has-text('{name}'):has-text('done')")
    answer = events(root, CommandAnswered)[-1][1]
    assert (answer.command.verb, answer.outcome) == (verb, Outcome.DONE)
    overbooked = max(1.0, os.getloadavg()[0] / os.cpu_count())
    assert (answer.answered - answer.command.asked).total_seconds() < 2.0 * overbooked


def protected(page, root):
    """A position that page and journal both know to be protected, chosen on the page: its symbol, and the state."""

    def found():
        now = state(root)
        shown = page.locator(f"{ROWS}:has(.qt-ok) b").all_inner_texts()
        held = (symbol for symbol in shown if symbol in now.trades and Role.STOP_LOSS in resting(now, symbol))
        return next(((symbol, now) for symbol in held), None)

    symbol, now = waited_for(found, PATIENCE_S)
    page.locator(".qt-symbol select").select_option(symbol)
    return symbol, now


def carried_out(page, root, ask):
    """What `ask` gave once its command was done: the market may be faster than a person, and end the position first."""
    for _ in range(20):
        before = len(events(root, CommandAnswered))
        with suppress(TimeoutError):  # there was nothing left to press
            asked, until = ask(), time.monotonic() + PATIENCE_S
            while len(answers := events(root, CommandAnswered)) == before and time.monotonic() < until:
                page.wait_for_timeout(100)
            if len(answers) > before and answers[-1][1].outcome is Outcome.DONE:
                return asked
    pytest.fail("each position was gone before it could be acted on")


def rearm(page, root):
    """Let go of the brake, by the code that is shown for it: another one each minute, of which the last ones hold."""
    shown = page.locator(".qt-brake code")
    before = shown.inner_text()
    press(page, "rearm")
    code = page.wait_for_selector(".qt-confirm kbd:text-matches('^[0-9a-f]{6}$')").inner_text()
    assert code in (before, shown.inner_text())
    confirm(page, code)
    page.wait_for_selector(".qt-head .qt-go")
    done(page, root, Verb.REARM)
    assert state(root).status is TradingStatus.ACTIVE


def closes_a_position(page, root):
    """One opens, its stop appears, and it is closed once its name was typed."""
    page.locator(ROWS).first.wait_for()
    page.wait_for_selector(f"{ROWS} .qt-ok:has-text('stop')")

    def close():
        symbol, now = protected(page, root)
        press(page, "close", 5_000)
        page.wait_for_selector(f".qt-confirm kbd:text-is('{symbol}')", timeout=5_000)
        assert page.locator(".qt-do-confirm").is_disabled()
        confirm(page, symbol)
        return symbol, now.trades[symbol].trade_id

    symbol, before = carried_out(page, root, close)
    done(page, root, Verb.CLOSE)
    waited_for(lambda: symbol not in (held := state(root).trades) or held[symbol].trade_id != before, 30)


def tightens_a_limit(page, root):
    """At once, and the next orders are smaller."""
    most = 0.6 * state(root).limits.in_force["max_notional_per_trade"]
    page.locator(".qt-limit-limit select").select_option(label="Notional a trade")
    page.locator(".qt-limit-value input").fill(f"{most:g}")
    page.locator(".qt-limit-value input").press("Tab")
    press(page, "set-limit")
    done(page, root, Verb.LIMITS)
    seq = events(root, CommandAnswered)[-1][0]

    def entered():
        fills = [event.fill for _, event in events(root, Filled, seq)]
        return [f.quantity * f.price for f in fills if role_of(f.client_id) is Role.ENTRY]

    assert max(waited_for(entered, PATIENCE_S)) <= most


def kills_and_rearms(page, root):
    """A kill is typed, and re-arming takes the code that is shown."""
    press(page, "kill")
    page.wait_for_selector(".qt-confirm kbd:text-is('KILL')")
    confirm(page, "KILL")
    page.wait_for_selector(".qt-head .qt-halt")
    done(page, root, Verb.KILL)
    waited_for(lambda: not state(root).trades, 30)
    assert state(root).brake.verb is Verb.KILL
    rearm(page, root)


def dies_and_lives_again(page, root):
    """The page turns stale when the session is killed, and lives again with it."""
    dead = records(root)[0]
    os.kill(dead["pid"], signal.SIGKILL)
    page.wait_for_selector(".qt-panel.qt-stale .qt-life:has-text('STALE')", timeout=60_000)
    assert page.locator(".qt-do-pause").is_disabled()
    page.wait_for_selector(".qt-panel.qt-lives .qt-life:has-text('lives')")
    assert records(root)[0]["run_id"] != dead["run_id"]
    press(page, "pause")
    page.wait_for_selector(".qt-head .qt-slow")
    done(page, root, Verb.PAUSE)
    press(page, "resume")
    page.wait_for_selector(".qt-head .qt-go")
    done(page, root, Verb.RESUME)


def test_nobody_opens_the_page_without_its_token(page):
    try:
        with urlopen(page.url_without_token, timeout=30) as answer:
            there = answer.url
    except HTTPError as refused:
        there = str(refused.code)
    assert "login" in there or there in ("401", "403")


def test_a_position_opens_its_stop_appears_and_it_is_closed(page, root):
    closes_a_position(page, root)


def test_a_stop_is_moved_nearer_and_rests_there(page, root):
    def tighten():
        symbol, now = protected(page, root)
        wanted = (2 * float(resting(now, symbol)[Role.STOP_LOSS]) + now.prices[symbol]) / 3
        page.locator(".qt-level input").fill(f"{wanted:.6g}")
        page.locator(".qt-level input").press("Tab")
        press(page, "tighten", 5_000)
        return now.facts.instruments[symbol], wanted

    instrument, wanted = carried_out(page, root, tighten)
    done(page, root, Verb.TIGHTEN)
    asked = events(root, CommandAnswered)[-1][0]

    def moved():
        placed = [event.intent for _, event in events(root, OrderRequested, asked - 1)]
        levels = [float(i.trigger) for i in placed if (i.symbol, i.role) == (instrument.symbol, Role.STOP_LOSS)]
        return any(abs(level - wanted) < 2 * float(instrument.tick) + 1e-5 * wanted for level in levels)

    assert waited_for(moved, 30)


def test_everything_is_flattened_once_that_was_typed(page, root):
    press(page, "flatten")
    page.wait_for_selector(".qt-confirm kbd:text-is('FLATTEN')")
    confirm(page, "FLATTEN")
    page.wait_for_selector(".qt-head .qt-halt")
    done(page, root, Verb.FLATTEN)
    waited_for(lambda: not state(root).trades, 30)
    rearm(page, root)


def test_a_limit_that_is_tightened_makes_the_next_orders_smaller(page, root):
    tightens_a_limit(page, root)


def test_it_has_no_serious_fault_for_who_reads_otherwise_and_asks_no_other_machine(page):
    for width, scheme in product((1440, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1440, "height": 1000})
    elsewhere = [url for url in page.asked if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", url)]
    assert (elsewhere, page.complaints) == ([], [])


def test_a_kill_is_typed_and_rearming_takes_the_code_that_is_shown(page, root):
    kills_and_rearms(page, root)


def test_it_turns_stale_when_the_session_dies_and_lives_again_with_it(page, root):
    dies_and_lives_again(page, root)


def test_in_jupyterlab_it_is_the_same_panel(page, root):
    with a_lab(root) as address:
        shown = page.context.browser.new_page(viewport={"width": 1440, "height": 1000})
        opened(shown, address, NOTEBOOKS / "control_panel.ipynb")
        run_all(shown, NOTEBOOKS / "control_panel.ipynb")
        shown.wait_for_selector(".qt-panel.qt-lives .qt-life:has-text('lives')")
        for step in (closes_a_position, tightens_a_limit, kills_and_rearms, dies_and_lives_again):
            step(shown, root)
        shown.close()


def test_a_session_is_ended_and_begun_from_the_page(page, root, session):
    press(page, "stop")
    confirm(page, "STOP")
    page.wait_for_selector(".qt-panel.qt-stale .qt-life:has-text('no session runs')")
    assert session.wait(PATIENCE_S) == 0
    ended = records(root)[0]
    press(page, "start")
    confirm(page, "START")
    page.wait_for_selector(".qt-panel.qt-lives .qt-life:has-text('lives')")
    begun = records(root)[0]
    assert (begun["previous_run"], begun["status"]) == (ended["run_id"], "running")
    press(page, "stop")
    confirm(page, "STOP")
    page.wait_for_selector(".qt-panel.qt-stale .qt-life:has-text('no session runs')")
