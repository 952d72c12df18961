"""Each notebook has the form of the family, and runs to its end through our own runner."""

import ast
import inspect
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from a_shell import ran
from english import left_in
from notebook_form import faults

from qtlib.domain.events import Filled
from qtlib.engine.backtest import backtest
from qtlib.engine.feeds import lived, panel_of, replay
from qtlib.engine.session import session
from qtlib.exchanges.simulated import SimulatedExchange, instruments
from qtlib.journal import Journal
from qtlib.learning import registry
from qtlib.learning.ledger import Ledger
from qtlib.market.simulated import simulate
from qtlib.params import resolve
from qtlib.report.page import PLOTLY, export
from qtlib.rules.rules import Rules
from qtlib.runs import wiring
from qtlib.runs.execution.runner import run_notebook
from qtlib.runs.record.folder import journal_location
from qtlib.runs.record.run import Run, open_folder

HOME = Path(__file__).parent.parent
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))
SMALL = ["data.bars=400", "session.max_bars=320"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_the_form_of_the_family(path):
    assert list(faults(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_names_of_ours_says_what_it_is(path):
    """To whoever asks for it with a question mark, or with Shift-Tab."""
    silent = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        tree = ast.parse("".join(cell["source"]) if cell["cell_type"] == "code" else "")
        named = [(s.module, alias.name) for s in tree.body if isinstance(s, ast.ImportFrom) for alias in s.names]
        ours = {name: _named(module, name) for module, name in named if module.startswith("qtlib")}
        silent += [name for name, thing in ours.items() if callable(thing) and not _says(thing)]
        parts = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        called = [getattr(ours[n.value.id], n.attr) for n in parts if inspect.ismodule(ours.get(n.value.id))]
        silent += [thing.__qualname__ for thing in called if callable(thing) and not _says(thing)]
    assert silent == []


def _named(module, name):
    there = import_module(module)
    return getattr(there, name) if hasattr(there, name) else import_module(f"{module}.{name}")


def _says(thing):
    """Whether it has words of its own: those that a dataclass makes up are none."""
    words = inspect.getdoc(thing) or ""
    return bool(words) and not words.startswith(f"{thing.__name__}(")


def run(kind, root, *more, params="sim"):
    resolved = resolve(HOME / "params" / f"{params}.yaml", [*SMALL, *more], {})
    lines = []
    outcome = run_notebook(
        kind, HOME / "notebooks" / f"{kind}.ipynb", resolved, export=export, root=root, on_line=lines.append
    )
    assert outcome.record["status"] == "ok", outcome.record["error"]
    return outcome, lines


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Two sessions of one account, one after the other."""
    root = tmp_path_factory.mktemp("runs")
    return [run("live", root) for _ in range(2)]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """The same bars through both notebooks, one over the wire and one in process."""
    root = tmp_path_factory.mktemp("runs")
    alike = ["session.at_end=keep", "session.max_bars=null", "session.account=twin"]
    live, _ = run("live", root, *alike)
    backtest, _ = run("backtest", root, *alike, "session.engine=event")
    return live, backtest


def identities(outcome):
    """What interface.md promises of every finished run, to the cent."""
    record, folder = outcome.record, outcome.folder.path
    figures = record["metrics"]
    trades, equity = pd.read_parquet(folder / "trades.parquet"), pd.read_parquet(folder / "equity.parquet")
    earned = figures["final_equity_quote"] - figures["start_equity_quote"] - (figures["moved_quote"] or 0)
    opened = figures["open_pnl_quote"] - figures["open_pnl_start_quote"]
    assert trades["pnl_quote"].sum() + opened == pytest.approx(earned, abs=0.01)
    net = figures["gross_pnl_quote"] - figures["fees_quote"] + figures["funding_quote"]
    assert net == pytest.approx(figures["net_pnl_quote"], abs=0.01)
    limits = resolve(folder / "params.yaml", [], {}).params.limits
    assert equity["gross_exposure_quote"].max() <= limits.max_gross_exposure
    assert equity["open_positions"].max() <= limits.max_positions
    assert len(equity) == figures["bars"] == record["data"]["bars"]
    assert figures["naked_seconds_max"] in (None, 0.0)
    files = {"notebook.ipynb", "report.html", "record.json", "params.yaml", "log.jsonl"}
    assert files | {f"{t}.parquet" for t in ("trades", "equity", "decisions")} <= {p.name for p in folder.iterdir()}
    assert record["data"]["simulated"] is True
    return trades, equity


def test_a_second_live_run_goes_on_where_the_first_stopped(sessions):
    (first, lines), (second, later_lines) = sessions
    said = "\n".join(str(line["msg"]) for line in lines)
    for word in ("sizing", "Position limit", "TP/SL", "P&L"):
        assert word.lower() in said.lower()
    trades, equity = identities(first)
    assert len(trades) > 5

    _, later = identities(second)
    assert later["ts"].iloc[0] > equity["ts"].iloc[-1]
    assert second.record["metrics"]["start_equity_quote"] == pytest.approx(equity["equity_quote"].iloc[-1], abs=0.01)
    held = equity["open_positions"].iloc[-1]
    assert sum("♻️" in str(line["msg"]) for line in later_lines) >= held
    assert second.record["previous_run"] == first.record["run_id"]


def test_a_backtest_trades_as_the_live_session_does(twins):
    """The same rows, to the last digit.

    In the loop that trades live; that the compiled engine equals it is the law of `engine/test_compiled.py`.
    """
    live, backtest = map(identities, twins)
    assert len(live[0]) > 10
    for rows, others in zip(live, backtest, strict=True):
        pd.testing.assert_frame_equal(rows, others, check_exact=True)


def test_a_report_says_that_its_market_is_simulated(twins):
    _, backtest = twins
    page = (backtest.folder.path / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page.lower()
    assert "http://" not in page.split("<script")[0]


def test_the_tour_runs_and_shows_what_it_says(tmp_path):
    outcome, _ = run("tour", tmp_path)
    book = json.loads((outcome.folder.path / "notebook.ipynb").read_text(encoding="utf-8"))
    shown = "".join(text for cell in book["cells"] for text in _texts(cell))
    assert "heard twice is heard once" in shown
    assert len(set(re.findall(r"wallet, .*?(\d+\.\d+)\n", shown))) == 1  # undisturbed, and stopped and resumed
    assert len(set(re.findall(r"(?:there|bar|alone) +(-?\d\.\d+)\n", shown))) == 1  # a feature, seen three ways


def test_the_tours_own_strategy_keeps_the_promise_of_strategies():
    """What a reader is told to copy works as it stands: it trades, and live and backtest believe the same."""
    book = json.loads((HOME / "notebooks" / "tour.ipynb").read_text(encoding="utf-8"))
    [code] = re.findall(r"```python\n(.*?)```", "".join(book["cells"][-1]["source"]), re.DOTALL)
    names = {"__name__": "tour"}
    exec(code, names)
    strategy, market = names["Reversal"](), simulate(bars=400)
    panel = panel_of(market)
    windowed, whole = strategy.signals(panel.last(strategy.lookback)), strategy.signals(panel)
    assert all(np.array_equal(one[:, -1], other[:, -1]) for one, other in zip(windowed[:3], whole[:3], strict=True))
    rules = Rules(instruments(market.symbols, {}))
    journal = backtest(market, strategy, rules, SimulatedExchange(rules.instruments, Decimal(10_000)))
    assert any(isinstance(event, Filled) for _, event in journal.events())


def _texts(cell):
    return ("".join(output.get("data", {}).get("text/plain", "")) + "\n" for output in cell.get("outputs", ()))


def test_every_chart_of_a_report_has_its_numbers_as_a_table_beside_it(twins):
    """Of a session and a backtest here; what retrains, sweeps and looks back is held to it where it is run."""
    for outcome in twins:
        assert alone(outcome) == []


def alone(outcome):
    """The source of each cell with more charts than tables."""
    book = json.loads((outcome.folder.path / "notebook.ipynb").read_text(encoding="utf-8"))
    counted = [
        (
            sum(PLOTLY in output.get("data", {}) for output in cell.get("outputs", [])),
            sum("<table" in "".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", [])),
            "".join(cell["source"]),
        )
        for cell in book["cells"]
    ]
    assert sum(charts for charts, _, _ in counted) > 0
    return [source for charts, shown, source in counted if charts > shown]


def test_times_in_a_record_are_utc(twins):
    for outcome in twins:
        record = json.loads((outcome.folder.path / "record.json").read_text(encoding="utf-8"))
        for name in ("started", "ended"):
            assert datetime.fromisoformat(record[name]).utcoffset().total_seconds() == 0


def test_a_retrain_leaves_a_bundle_a_ruling_and_a_report_in_a_sentence(tmp_path):
    """In Norwegian; what is written down for programs stays English."""
    quick = ["data.bars=1500", "learning.permutations=2", "learning.backtest_after_train=false", "report.language=nb"]
    outcome, _ = run("retrain", tmp_path, *quick, "session.max_bars=null", params="learning")
    model = outcome.record["model"]
    assert model["outcome"] == "refused"
    assert f"{model['version']} is refused" in model["words"]
    shelf = tmp_path / "models" / "simulated-1h"
    assert registry.versions(shelf) == (model["version"],)
    assert registry.champion(shelf) is None
    assert registry.show(shelf, model["version"]).ruling["words"] == model["words"]
    kinds = [trial.kind for trial in Ledger(shelf).rows()]
    assert (kinds.count("fit"), kinds.count("backtest"), kinds.count("judgement")) == (1, 2, 1)
    page = (outcome.folder.path / "report.html").read_text(encoding="utf-8")
    for words in (f"{model['version']} er avvist", "Holder den ord?", "Porten: hver prøve må bestås"):
        assert words in page, words
    assert left_in(page) == []
    assert alone(outcome) == []


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("tour", {"bars": 600}, ("Netto resultat", "Hvorfor ingen handel", "varmer opp")),
        ("explore", {"bars": 1_950}, ("Netto resultat", "Holder den ord?", "Utenfor utvalget")),
        ("launcher", {"account": "ola"}, ("Kjøringer, nyeste først", "har ingen journal ennå")),
    ],
)
def test_what_a_teaching_notebook_shows_is_read_in_norwegian(tmp_path, monkeypatch, kind, given, words):
    """Its tables and charts; its own words and those of plain values are English."""
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    shown, _ = ran(HOME / "notebooks" / f"{kind}.ipynb", given | {"language": "nb"})
    page = "".join(markup for markup in shown if markup.startswith(("<style>", "<script")))
    for word in words:
        assert word in page, word
    assert left_in(page) == []


@pytest.mark.parametrize("kind", ["live", "backtest"])
def test_a_report_is_read_in_norwegian_where_that_is_asked_for(tmp_path, kind):
    outcome, _ = run(kind, tmp_path, "report.language=nb", "session.max_bars=120")
    page = (outcome.folder.path / "report.html").read_text(encoding="utf-8")
    assert '<html lang="nb">' in page
    for word in ("Netto resultat", "Hva den tjente", "Egenkapital per dag", "Hvorfor ingen handel"):
        assert word in page, word
    assert left_in(page) == []
    assert re.search(r"\d\u00a0\d{3},\d\d", page)  # 10 000,00
    assert outcome.record["metrics"]["bars"] == 120


@pytest.mark.parametrize(("kind", "language"), [("launcher", "en"), ("control_panel", "nb")])
def test_what_only_looks_runs_where_nothing_ran_yet(tmp_path, monkeypatch, kind, language):
    monkeypatch.setenv("QT_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("QT_PANEL", json.dumps({"overrides": [f"report.language={language}"]}))
    outcome, _ = run(kind, tmp_path)
    book = json.loads((outcome.folder.path / "notebook.ipynb").read_text(encoding="utf-8"))
    assert not [o for cell in book["cells"] for o in cell.get("outputs", []) if o["output_type"] in ("error", "stream")]


def test_what_looks_back_tells_the_last_trade_and_what_if_and_that_the_replay_is_the_same(tmp_path):
    """Of whatever the account did: its beliefs, what the rules said, its orders, path and costs; in Norwegian, too."""
    resolved = resolve(HOME / "params" / "sim.yaml", SMALL, {})
    params, folder = resolved.params, open_folder("live", resolved, datetime.now(UTC), tmp_path)
    listed = wiring.instruments(params)
    venue = wiring.venue(params, listed)
    moments = lived(venue, replay(wiring.market(params), wiring.strategy(params)))
    with Journal(journal_location("main", tmp_path), "main") as journal:
        session(moments, wiring.rules(params, listed), venue, journal, name=wiring.name(Run(folder, params)))

    outcome, _ = run("postmortem", tmp_path, "report.language=nb")
    shown = _shown(outcome)
    assert outcome.record["counters"]["trades"] == 1
    refused = outcome.record["counters"]["refused"]
    assert refused > 0
    assert (
        shown.split("<figcaption>Hva om: ")[1].split("</figure>")[0].count("<tr>") == 1 + refused
    )  # each of them, and the heads
    assert alone(outcome) == []
    for word in ("Treffprosent i null", "Brutto eksponering", "inngang", "stopp", "Netto resultat", "Hva om"):
        assert word in shown, word
    assert left_in(shown) == []

    outcome, _ = run("parity", tmp_path, "report.language=nb")
    shown = _shown(outcome)
    assert alone(outcome) == []
    figures = outcome.record["metrics"]
    assert figures["trades"] > 10
    assert (figures["decisions_differing"], figures["trades_differing"], figures["difference_quote"]) == (0, 0, 0.0)
    for word in ("ingen, på minste prissteg", "Forskjellen etter årsak", "Reprise", "Takergebyr", folder.run_id):
        assert word in shown, word
    assert left_in(shown) == []


def _shown(outcome):
    book = json.loads((outcome.folder.path / "notebook.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
