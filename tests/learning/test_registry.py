"""A model on disk is whole or not there, one of them is champion, and what is not as it was is refused in words."""

import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from a_model import FEATURES, FLAT, T0, YES, a_card, saved, trained

from qtlib.learning import registry
from qtlib.learning.bundle import Damaged, Outgrown, dumps, loads
from qtlib.learning.card import Card
from qtlib.learning.models import MODELS
from qtlib.learning.registry import NoSuchModel, NotJudged


def promoted(root, version, **more):
    return registry.promote(root, version, who="a test", why="it is time", at=T0, **more)


def champion(root):
    now = registry.champion(root)
    return now and now.version


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_read_back_to_the_bit_without_pickle(model, tmp_path):
    made = trained(model)
    version = registry.save(tmp_path, made, a_card(model=model))
    read = registry.load(tmp_path, version)
    x = np.random.default_rng(1).normal(size=(500, 6))
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(made.model.predict(x), read.trained.model.predict(x), strict=True)
    )
    assert read.card == a_card(model=model)
    assert (read.strategy.version, read.strategy.lookback) == (version, FEATURES.lookback)
    assert version.endswith(read.content_hash[:8])
    if made.exits:
        score, volatility = np.ones(500), np.full(500, 0.01)
        ours, theirs = (t.exits.propose(x, score, volatility) for t in (made, read.trained))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))
        assert read.trained.exits.coverage == made.exits.coverage


def test_champions_follow_each_other_and_history_says_who_and_why(tmp_path):
    first, second, third = (saved(tmp_path, hours) for hours in range(3))
    assert champion(tmp_path) is None
    for version in (first, second, third):
        promoted(tmp_path, version)
    assert champion(tmp_path) == third
    assert promoted(tmp_path, third) == registry.history(tmp_path)[-1]  # again changes nothing
    back = registry.rollback(tmp_path, who="me", why="it loses", at=T0)
    assert (back.version, back.by_gate, champion(tmp_path)) == (second, True, second)
    assert registry.rollback(tmp_path, who="me", why="so does it", at=T0).version == first
    with pytest.raises(NoSuchModel, match="there is nothing to return to"):
        registry.rollback(tmp_path, who="me", why="and it", at=T0)
    registry.demote(tmp_path, who="decay", why="and it", at=T0)
    assert champion(tmp_path) is None
    told = [(c.action, c.version, c.who, c.why) for c in registry.history(tmp_path)]
    assert told[3:] == [
        ("rollback", second, "me", "it loses"),
        ("rollback", first, "me", "so does it"),
        ("demote", "", "decay", "and it"),
    ]


def test_only_what_the_gate_promoted_becomes_champion_unless_somebody_says_so(tmp_path):
    unjudged, refused = saved(tmp_path, 0, ruling=None), saved(tmp_path, 1, ruling={"promoted": False, "words": "luck"})
    with pytest.raises(NotJudged, match="the gate has not judged it"):
        promoted(tmp_path, unjudged)
    with pytest.raises(NotJudged, match="the gate said no: luck"):
        promoted(tmp_path, refused)
    assert champion(tmp_path) is None
    change = promoted(tmp_path, refused, unjudged=True)
    assert (champion(tmp_path), change.by_gate) == (refused, False)
    with pytest.raises(NotJudged, match=f"compared with none, and {refused} is champion"):
        promoted(tmp_path, unjudged, unjudged=True, only_if="")


def damage(folder, name, at=-2000):
    content = bytearray((folder / name).read_bytes())
    content[at % len(content)] ^= 1
    (folder / name).write_bytes(content)


def changed_card(folder, **changes):
    """A bundle whose card says something else, with hashes that add up."""
    content = {name: (folder / name).read_bytes() for name in (registry.MODEL, registry.CARD)}
    content[registry.CARD] = json.dumps(json.loads(content[registry.CARD]) | changes).encode()
    files = {name: registry._sha(c) for name, c in content.items()}
    total = registry._content_hash(files)
    other = folder.with_name(f"{folder.name[:-8]}{total[:8]}")
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(registry.RULING))
    (other / registry.CARD).write_bytes(content[registry.CARD])
    (other / registry.MANIFEST).write_text(json.dumps({"files": files, "content_hash": total}))
    return other.name


OTHER = {"python": "3.11", "numpy": "2.0", "scikit-learn": "1.2.3", "skops": "0.16", "TA-Lib": "0.8"}


@pytest.mark.parametrize(
    ("do", "error", "words"),
    [
        (lambda f: damage(f, "model.skops"), Damaged, r"model.skops has hash .* restore .*rollback"),
        (lambda f: damage(f, "card.json", 40), Damaged, r"card.json has hash"),
        (lambda f: damage(f, "manifest.json", 60), Damaged, r"manifest"),
        (lambda f: (f / "model.skops").unlink(), Damaged, r"model.skops can't be read \(No such file"),
        (lambda f: (f / "model.skops").write_bytes(b""), Damaged, r"model.skops has hash"),
        (lambda f: (f / "manifest.json").write_text("{}"), Damaged, r"manifest can't be read"),
        (lambda f: changed_card(f, libraries=OTHER), Outgrown, r"numpy 2.0, and here is .*qt retrain"),
        (lambda f: changed_card(f, schema_hash="beef"), Outgrown, r"mean something else here.*trained on beef"),
        (lambda f: changed_card(f, features=["momentum_24", "oracle"]), Outgrown, r"trained on oracle, which this"),
        (
            lambda f: (f / "ruling.json").write_text("[]"),
            Damaged,
            r"about something else",
        ),
    ],
)
def test_what_is_not_as_it_was_is_refused_with_a_way_out(do, error, words, tmp_path):
    version = saved(tmp_path)
    other = do(tmp_path / version)
    with pytest.raises(error, match=words):
        registry.load(tmp_path, other if isinstance(other, str) else version)
    assert version in registry.versions(tmp_path)  # it is listed all the same


def test_another_scikit_learn_is_named_with_both_versions(tmp_path):
    libraries = json.loads((tmp_path / saved(tmp_path) / "card.json").read_text())["libraries"]
    version = changed_card(tmp_path / registry.versions(tmp_path)[0], libraries=libraries | {"scikit-learn": "1.2.3"})
    with pytest.raises(Outgrown, match=r"trained with scikit-learn 1.2.3, and here is 1\."):
        registry.load(tmp_path, version)


def test_a_model_that_says_something_else_than_it_did_is_refused():
    import skops.io

    from qtlib.learning.bundle import _plain, _said, probe

    x = probe(FLAT)
    wrong = _said(FLAT, x) + 1e-12
    with pytest.raises(Outgrown, match="says something else than when it was trained"):
        loads(skops.io.dumps({"trained": _plain(FLAT), "probe": x, "said": wrong}))


def test_a_file_that_holds_anything_but_a_model_is_not_opened():
    import skops.io

    with pytest.raises(Damaged, match=r"holds .*, which no model of ours does"):
        loads(skops.io.dumps({"trained": Card, "do": os.system}))
    with pytest.raises(Damaged, match="can't be read"):
        loads(b"not a model")
    with pytest.raises(Damaged, match="can't be read"):
        loads(dumps(FLAT)[:-300])


def test_a_broken_pointer_is_no_champion_and_no_excuse(tmp_path):
    version = saved(tmp_path)
    promoted(tmp_path, version)
    (tmp_path / registry.CHAMPION).write_text('{"history": [{"versi')
    with pytest.raises(Damaged, match=f"nobody can say which model is champion.*{version}"):
        registry.champion(tmp_path)


def test_names_that_are_not_there_are_answered_with_those_that_are(tmp_path):
    version = saved(tmp_path)
    for name in ("nobody", "..", "../" + tmp_path.name, ""):
        with pytest.raises(NoSuchModel, match=f"there are: {version}"):
            registry.load(tmp_path, name)
    with pytest.raises(NoSuchModel, match="there are: none"):
        registry.load(tmp_path / "nowhere", "nobody")


def test_old_models_go_and_the_champion_and_the_one_before_it_stay(tmp_path):
    versions = [saved(tmp_path, hours) for hours in range(6)]
    promoted(tmp_path, versions[0])
    promoted(tmp_path, versions[1])
    (tmp_path / ".left.1.tmp").mkdir()
    assert registry.retain(tmp_path, keep=2) == tuple(versions[2:4])
    assert registry.versions(tmp_path) == (*versions[:2], *versions[4:])
    assert not list(tmp_path.glob(".*.tmp"))
    assert registry.rollback(tmp_path, who="me", why="still there", at=T0).version == versions[0]


def test_a_card_shows_what_was_learned_from_what(tmp_path):
    check = {"name": "<drawdown>", "value": None, "threshold": 1, "ok": False}
    version = saved(tmp_path, ruling=YES | {"reasons": [check]})
    page = registry.show(tmp_path, version)._repr_html_()
    for word in (version, "1,500 decisions", "SIMULATED", "no luck", "&lt;drawdown&gt;", "unknown", "scikit-learn 1."):
        assert word in page
    assert "<drawdown>" not in page


STEPS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")


def dies_before(step, do):
    """Run `do` in a process of its own, killed before its `step`-th touch of the disk; whether it got that far."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def watch(event, args):
            if event in STEPS and (event != "open" or "w" in str(args[1]) or (args[2] or 0) & os.O_CREAT):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

        sys.addaudithook(watch)
        try:
            do()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_any_step_of_saving_a_bundle_is_whole_or_not_there(tmp_path):
    before = saved(tmp_path)
    promoted(tmp_path, before)
    step, found = 0, set()
    while dies_before(step, lambda: registry.save(tmp_path, FLAT, a_card(1))):
        for version in registry.versions(tmp_path):
            registry.load(tmp_path, version)
        assert champion(tmp_path) == before
        found.add(len(registry.versions(tmp_path)))
        step += 1
    assert step >= 5
    assert found == {1}
    assert len(registry.versions(tmp_path)) == 2
    registry.retain(tmp_path, keep=9)
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("what", ["promote", "rollback", "demote", "rule", "retain"])
def test_killed_at_any_step_of_a_change_the_old_champion_is_there_or_the_new(what, tmp_path):
    first, second, spare, third = (saved(tmp_path, hours) for hours in range(4))
    promoted(tmp_path, first)
    promoted(tmp_path, second)
    say = {"who": "a test", "why": "it is time", "at": T0}
    do, after = {
        "promote": (lambda: registry.promote(tmp_path, third, **say), third),
        "rollback": (lambda: registry.rollback(tmp_path, **say), first),
        "demote": (lambda: registry.demote(tmp_path, **say), None),
        "rule": (lambda: registry.ruled(tmp_path, third, YES | {"words": "again"}), second),
        "retain": (lambda: registry.retain(tmp_path, keep=1), second),
    }[what]
    step = 0
    while dies_before(step, do):
        assert champion(tmp_path) in {second, after}
        for version in registry.versions(tmp_path):
            assert registry.load(tmp_path, version).ruling["promoted"]
        if champion(tmp_path) != second:
            break  # killed after it, it has happened
        step += 1
    assert step >= 2
    assert champion(tmp_path) == after
    assert (spare in registry.versions(tmp_path)) == (what != "retain")
    promoted(tmp_path, second)  # and life goes on
    assert champion(tmp_path) == second
