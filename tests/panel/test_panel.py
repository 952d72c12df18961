"""The panel without a page: what it shows of a journal, when it is stale, what it asks, and that it does not grow."""

import tracemalloc
from dataclasses import replace
from decimal import Decimal

import pytest
from a_desk import HISTORY, LIVES
from a_model import saved
from builders import T0
from english import left_in

from qtlib.domain.commands import Verb
from qtlib.domain.learned import Learning, ModelChanged
from qtlib.journal import Journal
from qtlib.learning.registry import NotJudged
from qtlib.panel import Panel
from qtlib.panel.desk import Models, Shelved
from qtlib.panel.reader import ANSWERS, BARS, CYCLES, FILLS, POINTS
from qtlib.report.names import reason_name
from qtlib.report.words import speaking
from qtlib.rules.status import answer
from qtlib.runs.believing.registered import Registered
from qtlib.runs.record.commands import commanded


def test_it_shows_what_the_account_holds_and_reckons_it_as_the_account_does(desk, panel):
    state = desk.trade(40)
    seen = panel.look()
    assert {row.symbol for row in seen.positions} == set(state.account.positions)
    for row in seen.positions:
        position, mark = state.account.positions[row.symbol], Decimal(repr(row.mark))
        assert row.pnl == pytest.approx(float(position.unrealized(mark)))
        assert row.roi_frac == pytest.approx(float(position.pnl_frac(mark)) * row.leverage)
        assert row.margin == pytest.approx(float(position.cost) / row.leverage, rel=0.01)
        assert row.naked_s is None
        assert (row.mark - row.stop) * row.quantity > 0
        assert (row.stop - row.liquidation) * row.quantity > 0
        assert row.symbol in panel.parts["positions"].value
    assert f"{float(state.equity):,.2f}" in panel.parts["figures"].value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beat_age_s": 12.0}, "no sign from the session for 12 s"),
        ({"run_status": "died"}, "the session died"),
        ({"run_status": "ok"}, "no session runs"),
    ],
)
def test_without_a_session_it_is_stale_and_only_what_closes_can_be_asked(desk, panel, changes, words):
    desk.trade(40)
    assert not panel.look().stale
    assert not panel.controls.pause.disabled
    desk.shown = replace(LIVES, **changes)
    assert panel.look().stale
    assert "STALE" in panel.parts["life"].value
    assert words in panel.parts["life"].value
    assert "qt-stale" in panel.widget._dom_classes
    c = panel.controls
    assert all(b.disabled for b in (c.pause, c.resume, c.reduce, c.close, c.tighten, c.set, c.stop))
    assert not c.kill.disabled


def test_before_a_session_has_said_anything_nothing_is_shown_as_its_status(desk, panel):
    panel.look()
    assert "TRADING" not in panel.parts["head"].value
    desk.trade(2)
    panel.look()
    assert "TRADING" in panel.parts["head"].value


def test_what_is_dangerous_is_asked_only_once_its_word_was_typed(desk, panel):
    desk.trade(40)
    panel.look()
    c = panel.controls
    c.pause.click()
    assert desk.asked == [(Verb.PAUSE, {})]
    c.kill.click()
    c.confirm.click()
    c.word.value = "KIL"
    c.confirm.click()
    assert desk.asked == [(Verb.PAUSE, {})]
    c.word.value = "kill"
    c.confirm.click()
    assert desk.asked[1:] == [(Verb.KILL, {})]
    c.confirm.click()
    assert len(desk.asked) == 2
    c.level.value = "no price"
    c.tighten.click()
    assert len(desk.asked) == 2
    c.level.value = "61 250,50"
    c.tighten.click()
    assert desk.asked[2] == (Verb.TIGHTEN, {"symbol": c.symbol.value, "price": Decimal("61250.50")})


def test_a_model_is_promoted_once_its_word_was_typed_and_it_shows_whether_the_session_has_it(desk, panel):
    desk.trade(2)
    panel.look()
    assert panel.teaching.widget.layout.display == "none"  # nothing is learned here
    shelved = (Shelved("m3", "promoted"), Shelved("m2", "refused"), Shelved("m1", "promoted"))
    desk.shelf = Models(shelved, "m1", T0, "gate", "it earned", "")
    panel.look()
    t, c = panel.teaching, panel.controls
    assert not t.promote.disabled
    assert t.roll_back.disabled  # there was none before it
    assert t.retrain.disabled  # this session learns nothing
    t.model.value = "m2"
    assert t.promote.disabled  # the gate refused it
    t.model.value = "m3"
    t.promote.click()
    c.confirm.click()
    assert desk.asked == []
    c.word.value = "promote"
    c.confirm.click()
    assert desk.asked == [("promote", "m3")]
    panel.look()
    assert "not yet, after" in panel.parts["learning"].value
    with Journal(desk.path, "main") as journal:
        journal.absorb(journal.state(), [ModelChanged(T0, "m3", "h", "by hand")])
    panel.look()
    assert "the champion trades" in panel.parts["learning"].value
    t.roll_back.click()
    c.word.value = "ROLLBACK"
    c.confirm.click()
    assert desk.asked[-1] == "roll back"


def test_a_promotion_that_is_refused_says_why(desk, panel):
    desk.trade(2)
    desk.shelf = Models((Shelved("m2", "promoted"),), "")
    panel.look()
    panel.teaching.promote.click()
    panel.controls.word.value = "PROMOTE"
    panel.controls.confirm.click()
    assert "the gate said no" in panel.controls.notice.value


@pytest.mark.parametrize(("mode", "at_once"), [("sim", True), ("live", False)])
def test_a_retrain_is_asked_for_at_once_but_where_it_is_real_money(desk, panel, mode, at_once):
    desk.trade(2)
    desk.shelf = Models((), "")
    panel.look()
    seen = panel.sight
    learns = replace(seen, mode=mode, state=seen.state.but(learning=Learning(enabled=True)))
    panel.show(learns)
    panel.teaching.retrain.click()
    assert (desk.asked == [(Verb.RETRAIN, {})]) is at_once
    if not at_once:
        panel.controls.word.value = "RETRAIN"
        panel.controls.confirm.click()
    assert desk.asked == [(Verb.RETRAIN, {})]
    running = replace(learns, state=seen.state.but(learning=Learning(enabled=True, running=True)))
    panel.show(running)
    assert panel.teaching.retrain.disabled


def test_what_the_panel_shows_of_a_registry_is_what_lies_there_and_what_it_changes_is_changed(tmp_path):
    shelf = Registered(tmp_path)
    assert shelf.look() == Models((), "")
    old, new = saved(tmp_path), saved(tmp_path, hours=1)
    refused = saved(tmp_path, hours=2, ruling=None)
    judged = {one.version: one.judged for one in shelf.look().there}
    assert judged == {refused: "not judged", new: "promoted", old: "promoted"}
    shelf.promote(old)
    shelf.promote(new)
    seen = shelf.look()
    assert (seen.champion, seen.before, seen.why) == (new, old, "by hand, from the panel")
    shelf.roll_back()
    assert (shelf.look().champion, shelf.look().before) == (old, "")
    with pytest.raises(NotJudged):
        shelf.promote(refused)
    (tmp_path / refused / "card.json").write_text("{}")
    assert Registered(tmp_path).look().there[0].judged == "damaged"


def test_all_that_it_says_is_norwegian_where_that_is_asked_for(desk):
    """With positions, orders, a brake, answers and refusals, limits and learning; whoever is there, or has died."""
    desk.market = "simulated market (seed 7, edge 3)"
    desk.trade(40)
    with Journal(desk.path, "main") as journal:
        for asked in (commanded(Verb.PAUSE), commanded(Verb.TIGHTEN), commanded(Verb.KILL)):
            journal.absorb(journal.state(), [answer(journal.state(), asked, asked.asked)])
    desk.shelf = Models((Shelved("m3", "promoted"), Shelved("m2", "refused")), "m3", T0, "gate", "by hand", "m2")
    learning = {"enabled": True, "samples_since_retrain": 3, "needed": 50, "last_outcome": "refused: by hand"}
    page = {"loops": {"trade": {"age_s": 0.1, "interval_s": 1.0, "ok": True}}, "learning": learning}
    with speaking("nb"):
        panel = Panel(desk)
        for changes in ({"health": page}, {"beat_age_s": 12.0}, {"run_status": "died"}, {"run_status": "ok"}):
            desk.shown = replace(LIVES, **changes)
            panel.look()
            panel.controls.kill.click()
            parts = [part for name, part in panel.parts.items() if name != "log"]  # a log is English
            shown = [*parts, *panel.titles.values(), panel.candles, panel.equity, panel.controls.asking]
            assert [words for part in shown for words in left_in(part.value)] == []
            assert left_in(_labels(panel.widget)) == []
        panel.close()


def _labels(widget):
    """What stands on buttons and beside fields, as text."""
    told = [getattr(widget, name, None) or "" for name in ("description", "placeholder")]
    return "".join(f"<p>{words}</p>" for words in told) + "".join(map(_labels, getattr(widget, "children", ())))


def test_it_shows_the_log_why_nothing_was_traded_and_what_a_trade_would_come_to(desk, panel):
    desk.trade(40)
    lines = [{"venue_ts": f"2026-01-01T0{n}:00:00Z", "level": "warning", "msg": f"<b>line {n}</b>"} for n in (1, 2)]
    desk.shown = replace(LIVES, log=tuple(lines))
    seen = panel.look()
    log = panel.parts["log"].value
    assert log.index("▲ &lt;b&gt;line 2") < log.index("▲ &lt;b&gt;line 1")  # the newest first, and no markup
    assert {row.symbol for row in seen.refusals} <= set(HISTORY.bars)
    assert all(reason_name(row.reason) in panel.parts["refusals"].value for row in seen.refusals)
    c = panel.calculator
    c.side.value, c.entry.value, c.notional.value, c.leverage.value = 1, 100.0, 200.0, 5
    c.stop.value, c.target.value = 98.5, 101.0
    assert "+5.0\u00a0%" in c.result.value  # of margin, at the target: five times the move
    assert "60.0\u00a0%" in c.result.value  # must be won to break even: 1.5 ÷ 2.5
    c.stop.value = 101.0
    assert "must" in c.result.value


def test_a_journal_that_is_read_cannot_be_written_through_it(desk):
    desk.trade(2)
    with desk.journal() as journal, pytest.raises(Exception, match=r"written|readonly"):
        journal.command(commanded(Verb.KILL))


def test_it_does_not_grow_however_long_it_looks(desk, panel):
    desk.trade(250)
    panel.look()
    tracemalloc.start()
    for _ in range(20):
        panel.look()
    before = tracemalloc.get_traced_memory()[0]
    desk.trade(200)
    for _ in range(30):
        panel.look()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    past = panel._reader.past
    assert all(len(bars) <= BARS for bars in past.bars.values())
    assert (len(past.equity), len(past.marks)) <= (POINTS, FILLS)
    assert len(past.decisions) <= CYCLES
    assert len(past.answers) <= ANSWERS
    assert grown < 3_000_000
