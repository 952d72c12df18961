"""What others say in English is told again in Norwegian: they speak here, and nothing but names stays English."""

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from english import left_in

from qtlib.domain.account import Account, Position
from qtlib.domain.advance import advance
from qtlib.domain.commands import Command, Verb
from qtlib.domain.state import State
from qtlib.learning.card import Card, Shown
from qtlib.learning.drift import profiles
from qtlib.params import resolve
from qtlib.report.retold import retold
from qtlib.report.words import speaking
from qtlib.rules.status import answer
from qtlib.runs.believing.learner import drifting
from qtlib.runs.wiring import prices_of

HOME = Path(__file__).parents[2]
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


def sentences(path):
    """What a file returns, raises or calls its `words`, with something in each place that varies."""
    for node in ast.walk(ast.parse((HOME / "qtlib" / path).read_text(encoding="utf-8"))):
        named = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "words"
        raised = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
        value = node.value if named or isinstance(node, ast.Return) else node.exc.args[0] if raised else None
        if isinstance(value, ast.JoinedStr):
            parts = (
                p.value if isinstance(p, ast.Constant) else MEANT.get(ast.unparse(p.value), "7") for p in value.values
            )
            yield "".join(parts)
        elif isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


MEANT = {  # what stands for more than a number
    "params.mode": "sim",
    "_traded(subject)": "5 symbols",
    "state.status.value": "active",
    "pace": "the market waits for the session",
    "counted": "3 of 50 closed trades since the last retrain",
    "last": "; the last was promoted",
    "'on' if params.learning.enabled else 'off'": "on",
    "'ahead of' if offset_ms > 0 else 'behind'": "behind",
    "words": "our clock is 7 ms behind the venue's",
    "factor": "60 times",
    "most": "by up to 4%",
    "furthest": "+0.60% at 2026-01-01 08:00",
    "told_spans": "2026-01-01 08:00 to 2026-01-02 08:00 and 3 more",
    "like": "",
}


def _meant(part):
    return MEANT.get(ast.unparse(part.value), "7")


@pytest.mark.parametrize(
    "path",
    [
        "runs/session/startup.py",
        "exchanges/binance/preflight.py",
        "market/survey/oddities.py",
        "market/survey/crosschecks.py",
    ],
)
def test_each_sentence_of_the_start_up_and_of_the_survey_is_read_in_norwegian(path):
    spoken = list(sentences(path))
    assert len(spoken) > 8
    for words in spoken:
        assert left_in(f"<p>{escape(norwegian(words))}</p>") == [], words


HELD = replace(
    State(),
    account=Account(Decimal(10_000), {"BTCUSDT": Position("BTCUSDT", Decimal(1), Decimal(100))}),
    prices={"BTCUSDT": 110.0},
)


@pytest.mark.parametrize("before", [None, Verb.PAUSE, Verb.REDUCE, Verb.KILL])
@pytest.mark.parametrize("verb", list(Verb))
def test_what_a_command_is_answered_is_read_in_norwegian(verb, before):
    now, state = datetime(2026, 3, 1, 12, tzinfo=UTC), HELD
    if before:
        state = advance(state, answer(state, Command("c1", before, "ola@pc", now), now))
    for late_s, what in product((0, 90), ({}, {"symbol": "BTCUSDT", "price": Decimal(105)}, {"limits": {"x": 1.0}})):
        asked = Command("c2", verb, "ola@pc", now, now + timedelta(seconds=60), **what)
        told = answer(state, asked, now + timedelta(seconds=late_s))
        assert left_in(f"<p>{escape(norwegian(told.words))}</p>") == []
        after = advance(state, told)
        assert left_in(f"<p>{escape(norwegian(after.cause))}</p>") == []
