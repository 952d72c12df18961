"""`qt models`: what there is, what it is, and who is champion; what is broken is a line in words."""

import json

import pytest
from a_model import YES, saved
from rich.console import Console
from typer.testing import CliRunner

from qtlib.cli import app
from qtlib.cli.notebooks import summary
from qtlib.learning import registry
from qtlib.learning.registry import NoSuchModel, NotJudged


@pytest.fixture
def qt(tmp_path):
    """Runs `qt models` over a registry of its own."""

    def run(*words):
        done = CliRunner().invoke(app, ["models", *words], env={"QT_RUNS_DIR": str(tmp_path)})
        if done.exception:
            raise done.exception
        return json.loads(done.stdout) if "--json" in words else done.stdout

    return run


def test_a_model_is_listed_shown_promoted_and_taken_back(qt, tmp_path):
    shelf = tmp_path / "models" / "simulated-1h"
    first, second = saved(shelf), saved(shelf, 1)
    assert qt("promote", first, "--json")["version"] == first
    assert f"{second} is champion from the next bar on" in qt("promote", "latest", "--why", "it is better")
    rows = qt("list", "--json")["models"]
    assert [(row["version"], row["champion"], row["shelf"]) for row in rows] == [
        (first, False, "simulated-1h"),
        (second, True, "simulated-1h"),
    ]
    told = qt("show", "champion", "--json")
    assert (told["version"], told["champion"], told["ruling"]["words"]) == (second, True, YES["words"])
    assert [change["why"] for change in told["history"]] == ["by hand", "it is better"]
    for word in (second, "1,500 decisions", "SIMULATED", "no luck", "it is better"):
        assert word in qt("show", second[-8:])
    assert qt("rollback", "--why", "it loses", "--json")["version"] == first
    assert registry.champion(shelf).version == first


def test_what_the_gate_refused_is_refused_here_too_until_somebody_insists(qt, tmp_path):
    version = saved(tmp_path / "models", ruling={"promoted": False, "words": "that was luck"})
    with pytest.raises(NotJudged, match="that was luck"):
        qt("promote", version)
    assert qt("promote", version, "--unjudged", "--json")["by_gate"] is False


def test_a_broken_model_is_a_line_in_the_list(qt, tmp_path):
    version = saved(tmp_path / "models")
    (tmp_path / "models" / version / "model.skops").write_bytes(b"")
    (row,) = qt("list", "--json")["models"]
    assert (row["whole"], row["champion"]) == (False, None)
    assert "restore its folder from a backup" in row["gate"]


def test_what_is_not_there_is_answered_with_what_is(qt, tmp_path):
    assert "nothing there" in qt("list")
    with pytest.raises(NoSuchModel, match=r"no model in .* answers to 'latest'; there is none"):
        qt("show")
    one, two = saved(tmp_path / "models" / "a"), saved(tmp_path / "models" / "b", 1)
    with pytest.raises(NoSuchModel, match=f"2 models .* answer to 'flat'; name one of {one}, {two}"):
        qt("promote", "flat")
    with pytest.raises(NoSuchModel, match=r"2 shelves of models .* name one with --shelf: a, b"):
        qt("rollback")
    with pytest.raises(NoSuchModel, match="nothing to return to"):
        qt("rollback", "--shelf", "a")


def test_a_retrain_ends_with_the_gates_word(tmp_path):
    words = "v1 is refused: bets out of sample is 0 and must be at least 200."
    record = {"run_id": "r1", "status": "ok", "model": {"words": words}, "metrics": {"auc": 0.4354, "brier": None}}
    out = Console(record=True, width=60)
    summary(out, tmp_path, record)
    said = out.export_text()
    assert words in said
    assert "area under the ROC curve  0.4354" in said
    summary(out, tmp_path, record | {"model": None})
    assert words not in out.export_text()
