"""What stands on the last line of a cell is worth looking at: whole markup that says what one would ask first."""

import re
from decimal import Decimal

import pytest
from builders import T0
from made_journal import DEPOSIT, a_close, a_fill

from qtlib.domain.orders import Side
from qtlib.journal import Journal
from qtlib.report.tables import tables
from qtlib.report.words import speaking

HELD = [DEPOSIT, a_close(T0, SOLUSDT=100.0, XRPUSDT=2.0), a_fill("in", "SOLUSDT", Side.BUY, 2, 100)]
SOLD = [*HELD, a_fill("out", "SOLUSDT", Side.SELL, 2, 90)]


def words(thing):
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", thing._repr_html_(), flags=re.DOTALL)


def test_a_journal_shows_what_is_held_at_what_price_and_what_it_has_earned(tmp_path):
    with Journal(tmp_path / "main.sqlite", "main") as journal:
        journal.absorb(journal.state(), [*HELD, a_close(T0.replace(hour=23), SOLUSDT=110.5)])
        shown = words(journal)
    assert re.search(r"SOLUSDT\s+\+2\S* at 100\S*, now 110.5: \+21.00", shown)
    assert "active" in shown


def test_a_journal_that_is_empty_says_that_nothing_is_held(tmp_path):
    with Journal(tmp_path / "main.sqlite", "main") as journal:
        assert re.search(r"holds\s+nothing", words(journal))


@pytest.mark.parametrize(("language", "net", "why"), [("en", "−20.00", "Symbol"), ("nb", "−20,00", "Hvorfor")])
def test_trades_show_the_last_exits_and_what_came_of_them_all(language, net, why):
    made = tables(SOLD)
    assert made.summary.net_pnl == Decimal(-20)
    with speaking(language):
        shown = words(made)
    assert shown.count(net) == 2  # of the one exit, and of all
    assert why in shown


def test_no_trades_are_none_and_not_nan():
    shown = words(tables([]))
    assert "none" in shown
    assert "nan" not in shown
