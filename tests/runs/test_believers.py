"""Who may believe: in mode live only what the gate let through; a rule of thumb only where samples are gathered."""

import pytest
from a_model import FEATURES, T0, YES, saved

from qtlib.learning import registry
from qtlib.params import Unearned, resolve
from qtlib.runs.believing import believers
from qtlib.runs.believing.champion import Champion
from qtlib.runs.believing.subjects import models

NO = {"promoted": False, "words": "that was luck", "reasons": []}
LIVE = ("mode=live", "session.armed=true")


def settings(*words):
    features = f"learning.features=[{', '.join(FEATURES.names)}]"
    return resolve(overrides=["strategy.name=learned", features, *words], environ={}).params


@pytest.fixture
def shelf(tmp_path):
    """A model on the shelf of these settings, of which the gate said `ruling`; promoted by hand or by it, or not."""

    def put(params, ruling=None, promoted=False):
        root = models(params, tmp_path)
        version = saved(root, ruling=ruling)
        if promoted:
            registry.promote(root, version, who="a test", why="it is good", at=T0, unjudged=ruling is not YES)
        return version

    return put


@pytest.mark.parametrize("ruling", [None, NO])
def test_in_mode_live_what_the_gate_did_not_let_through_never_believes_champion_or_named(ruling, shelf, tmp_path):
    params = settings(*LIVE)
    with pytest.raises(Unearned, match="no model is champion"):
        believers.strategy(params, tmp_path)
    version = shelf(params, ruling, promoted=True)
    for asked in (params, settings(*LIVE, f"strategy.params={{version: {version}}}")):
        with pytest.raises(Unearned, match=f"{version} was not promoted by the gate"):
            believers.strategy(asked, tmp_path)
        assert "was not promoted by the gate" in getattr(believers.believer(asked, tmp_path), "refusal", "")


def test_in_mode_live_what_the_gate_let_through_believes(shelf, tmp_path):
    params = settings(*LIVE)
    version = shelf(params, YES, promoted=True)
    assert believers.strategy(params, tmp_path).version == version
    named = settings(*LIVE, f"strategy.params={{version: {version}}}")
    assert believers.strategy(named, tmp_path).version == version


@pytest.mark.parametrize("mode", ["sim", "paper"])
def test_where_samples_are_gathered_a_rule_and_a_model_promoted_by_hand_may_and_only_there(mode, shelf, tmp_path):
    params = settings(f"mode={mode}", "learning.gather=true")
    assert isinstance(believers.strategy(params, tmp_path), Champion)
    with pytest.raises(Unearned, match="does not trade a rule of thumb instead"):
        believers.strategy(settings(f"mode={mode}", "learning.gather=false"), tmp_path)
    version = shelf(params, None, promoted=True)
    assert believers.strategy(params, tmp_path).version == version
