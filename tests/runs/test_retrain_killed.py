"""A retrain that is killed, anywhere from its first line to its last: who was champion is, or the new one is."""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from a_model import FLAT, saved

from qtlib import durable
from qtlib.domain.events import START
from qtlib.domain.learned import RetrainOutcome
from qtlib.learning import registry
from qtlib.learning.ledger import Ledger
from qtlib.params import resolve
from qtlib.runs.believing.believers import shelf_of
from qtlib.runs.believing.subjects import models
from qtlib.runs.learning.judgement import judged
from qtlib.runs.learning.lesson import lesson
from qtlib.runs.learning.outcome import conclude, consequence, keep
from qtlib.runs.learning.study import study
from qtlib.runs.record.run import Run, open_folder

HOME = Path(__file__).parents[2]
SMALL = ["data.history=4200", "data.bars=60", "universe.symbols=[BTCUSDT,ETHUSDT]", "learning.keep_versions=2"]
QUICK = ["learning.model=logistic", "learning.permutations=2", "learning.features=[momentum_24,momentum_72]"]
TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}
SAY = {"who": "a test", "why": "it is time", "at": datetime(2026, 7, 1, tzinfo=UTC)}


def a_retrain(root, *words):
    resolved = resolve(HOME / "params" / "learning.yaml", [*SMALL, *QUICK, *words], {})
    return Run(open_folder("retrain", resolved, START, root), resolved.params, adhoc=True)


def killed_before(step, do):
    """`do` in a process of its own that SIGKILL ends before its `step`-th touch of the disk; whether it got there."""
    pid = os.fork()
    if pid == 0:
        left, sync = [step], os.fsync

        def touched():
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        def heard(event, args):
            writes = event != "open" or "w" in str(args[1]) or "a" in str(args[1]) or (args[2] or 0) & os.O_CREAT
            if event in TOUCHES and writes:
                touched()

        def synced(fd):
            touched()
            sync(fd)

        os.fsync = synced
        sys.addaudithook(heard)
        with suppress(BaseException):
            do()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A real retrain up to the gate's word, which is made a yes, and its model a small one: it is written often."""
    run = a_retrain(tmp_path_factory.mktemp("runs"))
    root = models(run.params, run.folder.root)
    taught = lesson(run)
    found = replace(study(taught, Ledger(root)), trained=FLAT)
    before = saved(root)
    registry.promote(root, before, **SAY)
    said = judged(taught, found, Ledger(root), before, shelf_of(run.params, run.folder.root))
    yes = replace(said, ruling=replace(said.ruling, promoted=True))
    lines = list(Ledger(root).rows())

    def rest(run=run):
        """All that a retrain writes but its report: what was tried, the bundle, what was judged, what follows."""
        ledger = Ledger(root)
        ledger.add(lines[0])
        version = keep(run, taught, found)
        ledger.add(*lines[1:-1])
        ledger.add(lines[-1])
        return conclude(run, taught, found, version, yes, None)

    return root, before, rest


def test_killed_at_any_step_the_champion_is_intact_or_the_new_one_is_whole(lived):
    root, before, rest = lived
    lines = list(Ledger(root).rows())
    step, champions = 0, []
    while killed_before(step, rest):
        now = registry.champion(root).version
        for version in registry.versions(root):
            registry.load(root, version)
        champions.append(now != before)
        assert now == before or registry.load(root, now).ruling["promoted"]
        assert next(Ledger(root).rows()).kind == "fit"
        assert len(list(Ledger(root).rows())) >= len(lines)  # each that is whole follows the one before it
        if now != before:
            registry.promote(root, before, **SAY)
        for version in set(registry.versions(root)) - {before}:
            durable.remove_folder(root / version)
        step += 1
    assert step > 30
    assert champions == sorted(champions)  # before one step the old one, after it the new
    assert set(champions) == {False, True}
    assert registry.champion(root).version != before
    assert not list(root.glob(".*.tmp"))  # what the killed ones left is gone


def test_where_a_person_is_asked_a_yes_changes_no_champion_until_that_person_says_so(lived):
    root, _, rest = lived
    before = registry.champion(root).version
    made = rest(a_retrain(root.parents[1], "learning.promotion=ask"))
    assert made["outcome"] == RetrainOutcome.ASKED.value
    assert f"qt models promote {made['version']}" in consequence(made)
    assert registry.champion(root).version == before
    assert registry.promote(root, made["version"], **SAY).version == made["version"]
