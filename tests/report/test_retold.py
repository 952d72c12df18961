"""What others say in English is told again in Norwegian: they speak here, and nothing but names stays English."""

import re

import numpy as np
import pytest

from qtlib.learning.card import Card, Shown
from qtlib.learning.drift import profiles
from qtlib.params import resolve
from qtlib.report.retold import retold
from qtlib.report.words import speaking
from qtlib.runs.believing.learner import drifting
from qtlib.runs.wiring import prices_of

CARD = Card(
    model="boosted",
    made="2026-03-01T00:00:00+00:00",
    source="the simulated market (4) of 1h bars with seed 7 and edge 3",
    simulated=True,
    symbols=("BTCUSDT", "ETHUSDT"),
    timeframe="1h",
    first="2026-01-01T00:00:00+00:00",
    last="2026-02-01T00:00:00+00:00",
    rows=12_345,
    data_fingerprint="9f",
    features=("a", "b"),
    schema_hash="3c",
    dropped={"a feature is unknown": 3},
    settings={"seed": 0},
    metrics={"auc": 0.51, "brier": None},
    promise={"cap_r": 2.0},
    run_id="r1",
)


def norwegian(text):
    with speaking("nb"):
        return retold(text)


def test_a_models_card_is_read_in_norwegian():
    facts = Shown("m1", "ab", CARD, None).facts()
    told = {norwegian(key): norwegian(words) for key, words in facts.items()}
    assert len(told) == len(facts)
    assert {key for key in facts if key in told} == {"data"}  # the same word
    assert told["lærte av"].startswith("12\u00a0345 avgjørelser om BTCUSDT, ETHUSDT, 1h, ")
    assert told["søyler"].startswith("det simulerte markedet (4) av 1h-søyler med frø 7 og fortrinn 3 (SIMULERT")
    assert (told["målt auc"], told["målt brier"], told["port"]) == ("0,51", "ukjent", "ikke prøvd ennå")


@pytest.mark.parametrize(
    "settings", [["mode=sim"], ["mode=paper"], ["mode=demo"], ["data.source=files", "data.path=bars"]]
)
def test_whose_prices_they_are_is_read_in_norwegian(settings):
    words = prices_of(resolve(overrides=settings).params)
    assert norwegian(words) != words
    assert retold(words) == words
    assert not re.search(r"\b(the|of|bars|with)\b", norwegian(words))


def test_what_the_panel_says_of_a_retrain_is_read_in_norwegian():
    verdict = norwegian("refused: m1 is refused: drawdown is 30.00 % and must be at most 20.00 %.")
    assert verdict == "avvist: m1 er avvist: nedtrekk er 30,00 % og må være høyst 20,00 %."
    words, _ = drifting(profiles(["a"], np.arange(2_000.0)[:, None]), [np.full((1, 1), 5_000.0)] * 900)
    assert norwegian(words).startswith("1 av 1 innganger har drevet, mest a, ")
