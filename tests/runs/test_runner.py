"""What a runner does with a notebook that comes to its own end, good or bad."""

import json

import nbformat
import pytest
from death_drill import a_notebook, a_page, drill

from qtlib.params import resolve
from qtlib.runs.execution.runner import MAX_OUTPUT_BYTES, MAX_OUTPUTS, run_notebook
from qtlib.runs.record.ends import sentence

GOOD = """
import pandas as pd
for n in range(30):
    run.beat(n, 30)
run.log.info("♻️ Recovered XRPUSDT: SHORT 67.1000 @ $2.2211")
run.write_table("equity", pd.DataFrame({"equity_quote": [1.0]}))
run.finish(metrics={"trades": 2, "sharpe": None}, counters={"bars": 30}, data={"source": "made up"})
"""


def test_a_good_run_leaves_its_record_its_files_and_nothing_else(tmp_path):
    heard, beats = [], []
    notebook = a_notebook(tmp_path / "n.ipynb", GOOD)
    given = resolve(overrides=["session.max_bars=30", "report.title=A title"])
    outcome = run_notebook(
        "backtest", notebook, given, export=a_page, root=tmp_path / "runs", on_line=heard.append, on_beat=beats.append
    )
    record = outcome.record
    assert (outcome.exit_code, record["status"], record["error"]) == (0, "ok", None)
    assert record["metrics"] == {"trades": 2, "sharpe": None}
    assert record["counters"] == {"bars": 30}
    assert record["overrides"] == {"session.max_bars": 30, "report.title": "A title"}
    assert record["seconds"] > 0
    assert sorted(p.name for p in outcome.folder.path.iterdir()) == sorted(
        ["equity.parquet", "log.jsonl", "notebook.ipynb", "params.yaml", "record.json", "report.html"]
    )
    assert "<title>A title</title>" in (outcome.folder / "report.html").read_text()
    assert heard[0]["msg"].startswith("♻️ Recovered")
    assert beats
    injected = nbformat.read(outcome.folder / "notebook.ipynb", as_version=4).cells[1].source
    assert '"max_bars": 30' in injected  # the executed notebook shows its settings
    assert json.loads((outcome.folder / "record.json").read_text()) == record


def test_a_failing_cell_is_named_with_its_message_and_the_report_written_all_the_same(tmp_path):
    outcome = drill(tmp_path, "x = 1", "raise ValueError('stop 101 must lie below entry 100')", "run.finish()")
    error = outcome.record["error"]
    assert (outcome.exit_code, outcome.record["status"]) == (1, "failed")
    assert (error["type"], error["message"], error["cell"]) == ("ValueError", "stop 101 must lie below entry 100", 5)
    assert sentence("failed", error) == "cell 5 failed: ValueError: stop 101 must lie below entry 100"
    assert (outcome.folder / "report.html").exists()
    first = nbformat.read(outcome.folder / "notebook.ipynb", as_version=4).cells[0]
    assert "stop 101 must lie below entry 100" in first.source


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        ("from qtlib.journal import Held; raise Held('process 7 holds main')", "refused", 4),
        ("from qtlib.params import Unearned; raise Unearned('not yet')", "refused", 3),
        ("import errno; raise OSError(errno.ENOSPC, 'No space left on device')", "failed", 2),
    ],
)
def test_the_exit_code_says_whose_turn_it_is(tmp_path, raised, status, code):
    outcome = drill(tmp_path, raised)
    assert (outcome.record["status"], outcome.exit_code) == (status, code)


def test_a_flood_of_output_fails_nothing_and_fills_nothing(tmp_path):
    many = f"from IPython.display import display\nfor n in range({MAX_OUTPUTS + 50}):\n    display(n)"
    much = "for n in range(10):\n    print('x' * 300_000, flush=True)"
    outcome = drill(tmp_path, many, much, "run.finish(metrics={'trades': 0})")
    assert outcome.record["status"] == "ok"
    *_, displayed, printed, _ = nbformat.read(outcome.folder / "notebook.ipynb", as_version=4).cells
    assert len(displayed.outputs) == MAX_OUTPUTS
    assert 0 < sum(len(output.text) for output in printed.outputs) <= MAX_OUTPUT_BYTES
    assert (outcome.folder / "notebook.ipynb").stat().st_size < 2_000_000


def test_a_secret_that_got_into_a_notebook_is_taken_out_and_the_run_failed(tmp_path, monkeypatch):
    canary = "canary-0f9a"
    monkeypatch.setenv("QT_API_KEY", canary)
    (tmp_path / "leak").write_text(canary)
    leak = f"from pathlib import Path\nsaid = Path({str(tmp_path / 'leak')!r}).read_text()"
    told = "assert 'QT_API_KEY' not in os.environ  # no key where none may be used\nrun.log.info(said)\nprint(said)"
    outcome = drill(tmp_path, leak, told, "raise RuntimeError(said)")
    assert outcome.exit_code == 1
    assert outcome.record["error"]["type"] == "SecretFound"
    held = [p.name for p in outcome.folder.path.iterdir() if canary.encode() in p.read_bytes()]
    assert held == []


def test_a_report_that_cannot_be_written_is_a_failed_run(tmp_path):
    def no_page(*args, **given):
        raise ValueError("no plotly here")

    notebook = a_notebook(tmp_path / "n.ipynb", "run.finish(metrics={'trades': 1})")
    outcome = run_notebook("live", notebook, resolve(), export=no_page, root=tmp_path / "runs")
    assert outcome.exit_code == 1
    assert outcome.record["error"]["message"] == "the report could not be written: no plotly here"
    assert outcome.record["metrics"] == {"trades": 1}
