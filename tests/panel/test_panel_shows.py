"""Part by part, what the panel shows and what each button leaves: every column, limit, loop and answer of it."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from importlib.resources import files

import pytest
from a_desk import LIVES

from qtlib.domain.commands import Outcome, Verb
from qtlib.journal import Journal
from qtlib.panel.desk import Models, Shelved
from qtlib.report.names import limit_name
from qtlib.report.words import number, percent, price, signed
from qtlib.rules.in_force import SETTABLE
from qtlib.rules.status import answer
from qtlib.runs.record.commands import commanded


def cells(markup):
    """The words of each row of a table."""
    rows = re.findall(r"<tr>(.*?)</tr>", markup, re.DOTALL)
    return [[_words(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def _words(markup):
    return unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def test_a_position_has_every_column_of_an_exchanges_screen(desk, panel):
    state = desk.trade(40)
    seen = panel.look()
    heads, *shown = cells(panel.parts["positions"].value)
    expected = "Symbol Protection Size Value Entry Break-even Mark Liq. Margin P&L % ROI R Funding Stop Target Exit"
    assert [head.split()[0] for head in heads] == expected.split()
    assert len(shown) == len(seen.positions) > 0
    for row, words in zip(seen.positions, shown, strict=True):
        trade, fee = state.trades[row.symbol], float(state.facts.instruments[row.symbol].taker_fee_frac)
        left = row.quantity * (row.breakeven - row.entry) - abs(row.quantity) * row.breakeven * fee
        assert float(trade.net) + left == pytest.approx(0.0, abs=1e-6)  # leaving there would bring what it has cost
        assert row.r == pytest.approx(row.pnl_frac / trade.exits.stop_frac)
        assert row.funding == float(trade.funding)
        assert row.value == pytest.approx(abs(row.quantity) * row.mark)
        assert f"{row.leverage}×" in words[0]
        assert words[1] == "✓ stop + net" if row.net_stop else "✓ stop"
        assert words[2:9] == [
            number(abs(row.quantity), ",.8g"),
            number(row.value),
            *map(price, (row.entry, row.breakeven, row.mark, row.liquidation)),
            number(row.margin),
        ]
        earned = [signed(row.pnl), percent(row.pnl_frac, sign=True), percent(row.roi_frac, ".1f", sign=True)]
        assert words[9:14] == [*earned, number(row.r, "+.2f"), signed(row.funding)]
        assert words[14:16] == [price(row.stop), "taken" if row.partial_taken else price(row.target)]


def test_modes_differ_in_word_and_in_colour(desk, panel):
    desk.trade(2)
    seen, css = panel.look(), files("qtlib.panel").joinpath("assets", "panel.css").read_text("utf-8")
    words, colours = set(), set()
    for mode in ("sim", "paper", "demo", "live"):
        panel.show(replace(seen, mode=mode))
        head = panel.parts["head"].value
        assert f"qt-mode-{mode}" in head
        words.add(re.search(r'qt-mode"><strong>(\w+)</strong><span>(.+?)</span>', head).groups())
        ink = re.search(rf"\.qt-mode-{mode} {{ --mode: var\(--(\w+)\)", css)[1]
        colours.add(re.search(rf"--{ink}: (#\w+)", css)[1])
    assert (len(words), len(colours)) == (4, 4)


def test_every_limit_is_shown_with_what_is_used_of_it(desk, panel):
    desk.trade(40)
    seen = panel.look()
    shown = {row[0]: row[1:] for row in cells(panel.parts["limits"].value)}
    assert {limit_name(name) for name in SETTABLE} - set(shown) == {"Exposure of a cluster"}  # there is none here
    most, gross = shown["Positions"], next(row for row in seen.limits if row.name == "max_gross_exposure")
    assert most[:2] == [str(len(seen.positions)), "4"]
    at_entry = sum(abs(row.quantity) * row.entry for row in seen.positions)
    assert gross.used == pytest.approx(at_entry, rel=0.02)  # with what is on its way


def test_a_limit_is_loosened_for_tomorrow_with_a_reason_and_without_one_it_is_refused(desk, panel):
    desk.trade(2)
    panel.look()
    c = panel.controls
    for reason in ("", "a quiet week"):
        c.limit.value, c.value.value, c.reason.value = "max_positions", "9", reason
        c.set.click()
        assert desk.asked[-1] == (Verb.LIMITS, {"limits": {"max_positions": 9.0}, "reason": reason})
        with Journal(desk.path, "main") as journal:
            verb, what = desk.asked[-1]
            asked = commanded(verb, **what)
            told = answer(journal.state(), asked, asked.asked)
            journal.absorb(journal.state(), [told])
        assert told.outcome is (Outcome.DONE if reason else Outcome.REFUSED)
    panel.look()
    heads, *rows = cells(panel.parts["limits"].value)
    assert heads[-1] == "From tomorrow"
    assert next(row for row in rows if row[0] == "Positions")[2::2] == ["4", "9"]


def test_what_is_not_dangerous_is_asked_at_once_and_what_closes_once_its_word_was_typed(desk, panel):
    desk.trade(40)
    seen = panel.look()
    c, held = panel.controls, seen.positions[0].symbol
    c.reduce.click()
    assert desk.asked == [(Verb.REDUCE, {})]
    c.symbol.value = held
    for press, word, left in (
        (c.flatten, "FLATTEN", (Verb.FLATTEN, {})),
        (c.close, held, (Verb.CLOSE, {"symbol": held})),
        (c.stop, "STOP", (Verb.STOP, {})),
    ):
        before = len(desk.asked)
        press.click()
        assert len(desk.asked) == before
        c.word.value = word
        c.confirm.click()
        assert desk.asked[before:] == [left]


def test_what_was_asked_waits_is_done_is_refused_or_has_expired_and_the_panel_says_which(desk, panel):
    desk.trade(2)
    with Journal(desk.path, "main") as journal:
        pause, late = commanded(Verb.PAUSE), commanded(Verb.REDUCE)
        for asked, after_s in ((commanded(Verb.TIGHTEN), 0.1), (pause, 0.5), (late, 3_600.0)):
            when = asked.asked + timedelta(seconds=after_s)
            journal.absorb(journal.state(), [answer(journal.state(), asked, when)])
        journal.command(commanded(Verb.KILL))
    panel.look()
    shown = {row[1]: row[2] for row in cells(panel.parts["asked"].value)[1:]}
    assert shown["Kill"].startswith("… waits for")
    assert shown["Pause"] == "✓ done after 0.5 s"
    assert shown["Move stop"] == "✗ refused"
    assert shown["Reduce only"] == "✗ expired"


def test_loops_and_learning_are_shown_with_their_age(desk, panel):
    desk.trade(2)
    loops = {
        "trade": {"age_s": 0.1, "interval_s": 1.0, "ok": True},
        "sync": {"age_s": 90, "interval_s": 5, "ok": False},
    }
    learning = {"enabled": True, "samples_since_retrain": 3, "needed": 50, "last_outcome": "refused: too few"}
    learning |= {"next_due": "2026-03-01T12:00:00+00:00", "drift": "2 of 40 inputs have drifted"}
    exchange = {"reachable": True, "last_event_age_s": 0.4, "clock_offset_ms": 12}
    desk.shown = replace(LIVES, health={"loops": loops, "learning": learning, "exchange": exchange}, rss_mb=210.0)
    desk.shelf = Models((Shelved("m3", "promoted"),), "m3")
    panel.look()
    rows = cells(panel.parts["loops"].value)[1:]
    assert [row[1:3] for row in rows[:3]] == [["✓", "0.1 s"], ["✗ late", "90 s"], ["answers", "0.4 s"]]
    told = panel.parts["learning"].value
    for words in ("m3", "3 / 50", "refused: too few", "2026-03-01 12:00", "2 of 40 inputs have drifted"):
        assert words in told


def test_a_symbols_chart_has_candles_entry_levels_and_fills(desk, panel):
    """Of a session that had ended before anybody looked, too."""
    desk.trade(60)
    held = panel.look().positions[0]
    panel.controls.symbol.value = held.symbol
    panel.look()
    wide = panel.candles.value.split("qt-for-narrow")[0]
    assert wide.count('<g class="qt-up">') + wide.count('<g class="qt-down">') > 50
    for ink in ("qt-line-entry", "qt-line-stop", "qt-line-target"):
        assert f'class="{ink}"' in wide
    fills = re.findall(r'<path class="qt-(bought|sold)[^"]*" d="[^"]+"><title>([^<]+)', wide)
    assert {kind for kind, _ in fills} >= {"bought" if held.long else "sold"}
    assert all(re.search(r"\d at \d", told) for _, told in fills)
    assert "qt-line-equity" in panel.equity.value
