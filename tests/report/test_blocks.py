import re
from html.parser import HTMLParser

import pytest
from builders import T0
from made_journal import DEPOSIT, a_close, a_fill, made_journal

from qtlib.domain.decisions import Choice, Decision, Reason, Verdict
from qtlib.domain.events import DecisionMade
from qtlib.domain.orders import Side
from qtlib.report import blocks, markup
from qtlib.report.metrics import metrics
from qtlib.report.tables import tables

MADE, EMPTY = tables(made_journal(300, entry_rate=0.1)), tables([])
BLOCKS = {
    "headline": lambda t: blocks.headline(metrics(t)),
    "trades": lambda t: blocks.trades_table(t, first=7),
    "refusals": blocks.refusals_table,
    "limits": lambda t: blocks.limits_table(t, 800.0, 4),
    "periods": blocks.periods_table,
    "pnl by symbol": lambda t: blocks.pnl_table(t, "symbol"),
    "pnl by hour": lambda t: blocks.pnl_table(t, "hour"),
    "simulated": lambda t: blocks.simulated(),
}


@pytest.mark.parametrize("made", [MADE, EMPTY], ids=["a run", "nothing"])
@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_is_whole_markup_without_nan_or_none(name, made):
    html = BLOCKS[name](made)
    assert _unclosed(html) == []
    words = re.sub(r"<[^>]+>", " ", html)
    assert not re.search(r"\bnan\b|None|\binf\b", words)
    assert html._repr_html_().endswith(html)


def test_a_long_table_shows_its_first_rows_and_says_how_many_there_are():
    html = blocks.trades_table(MADE, first=7)
    assert html.count("<tr>") == 1 + 7
    assert f"first 7 of {len(MADE.trades):,}" in html


def test_what_is_unknown_is_a_dash_and_never_zero():
    html = blocks.headline(metrics(EMPTY))
    assert "<dt>Win rate</dt><dd>–</dd>" in html
    assert "<dt>Sharpe</dt><dd>–</dd>" in html


def test_losses_have_a_sign_and_not_only_a_colour():
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", "SOLUSDT", Side.BUY, 1, 100)]
    html = blocks.trades_table(tables([*journal, a_fill("out", "SOLUSDT", Side.SELL, 1, 90)]))
    assert '<span class="qt-loss">−10.00</span>' in html
    assert '<td class="qt-number">0.00</td>' in html  # fees and funding: nothing has no sign


def test_why_no_trade_counts_each_reason_by_symbol():
    verdicts = (
        Verdict("BTCUSDT", Choice.REFUSED, Reason.LOW_CONFIDENCE),
        Verdict("ETHUSDT", Choice.REFUSED, Reason.LOW_CONFIDENCE),
        Verdict("ETHUSDT", Choice.REFUSED, Reason.LIMIT, "daily_loss"),
        Verdict("SOLUSDT", Choice.ENTER),
    )
    rows = _rows(blocks.refusals_table(tables([DecisionMade(T0, Decision(T0, {}, verdicts))])))
    assert rows == [
        ["Reason", "BTCUSDT", "ETHUSDT", "All"],
        ["confidence is too low", "1", "1", "2"],
        ["a limit left nothing (Loss of the day)", "–", "1", "1"],
    ]


def test_limits_say_how_near_they_came():
    journal = [DEPOSIT, a_close(T0, SOLUSDT=100.0), a_fill("in", "SOLUSDT", Side.BUY, 2, 100)]
    journal.append(a_fill("out", "SOLUSDT", Side.SELL, 1, 100))
    _, gross, positions = _rows(blocks.limits_table(tables(journal), 800.0, 4))
    assert gross == ["Gross exposure [USDT]", "100.00", "200.00", "800.00", "25.00\xa0%"]
    assert positions == ["Open positions", "1", "1", "4", "25.00\xa0%"]


def test_a_name_from_outside_cannot_become_markup():
    verdict = Verdict("<b>X", Choice.REFUSED, Reason.LIMIT, "<script>")
    html = blocks.refusals_table(tables([DecisionMade(T0, Decision(T0, {}, (verdict,)))]))
    assert "<script>" not in html
    assert "<b>" not in html


def _rows(html):
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr>(.*?)</tr>", html, re.S)]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


def _unclosed(html):
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.wrong = [], []

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)

        def handle_endtag(self, tag):
            if not self.open or self.open.pop() != tag:
                self.wrong.append(tag)

    tags = Tags()
    tags.feed(html)
    return tags.open + tags.wrong


def test_facts_stand_under_their_names_as_they_are():
    page = markup.facts("a <model>", [("learned from", "1 < 2"), ("run", "r")])
    assert re.findall(r"<dt>(.+?)</dt><dd>(.+?)</dd>", page) == [("learned from", "1 &lt; 2"), ("run", "r")]
    assert "a &lt;model&gt;" in page
