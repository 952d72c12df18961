"""The null test: outcomes of other times teach nothing, unless the pipeline leaks."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtlib.learning.dataset import Dataset
from qtlib.learning.nulltest import NullTest, Skill, null_test, permuted


def some_rows(bars=600, skill=0.3, seed=0, symbols=2):
    """Rows of symbols side by side, the last listed late; the one feature knows a part of what comes."""
    dice = np.random.default_rng(seed)
    parts = [(n, c) for c in range(bars) for n in range(symbols) if n < symbols - 1 or c >= bars // 3]
    symbol, at = np.array(parts, dtype=np.int64).T
    move = dice.standard_normal(len(at))
    x = np.c_[skill * move + dice.standard_normal(len(at))]
    tag = np.arange(len(at), dtype=float)
    return Dataset(
        names=("f",),
        symbols=tuple("ABCDEF"[:symbols]),
        x=x,
        mirror=-x,
        symbol=symbol,
        at=at,
        end=at + 1 + symbol,
        times=at * 3_600_000_000,
        long_r=move,
        short_r=-move,
        long_frac=tag,
        short_frac=tag,
        favourable_frac=tag,
        adverse_frac=tag,
        volatility_frac=tag,
        weight=np.ones(len(at)),
    )


class Told(NamedTuple):
    score: np.ndarray
    confidence: np.ndarray


class Line:
    """A straight line through what it was shown."""

    def __init__(self, data):
        x, y = data.x[:, 0], data.long_r
        self.slope = (x @ y) / (x @ x)

    def predict(self, x):
        return Told(np.tanh(self.slope * x[:, 0]), np.full(len(x), 0.5))


@settings(max_examples=50)
@given(st.integers(30, 150), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_outcomes_change_times_together_and_keep_their_company(bars, block, seed):
    data = some_rows(bars, symbols=3)
    mixed = permuted(data, block, np.random.default_rng(seed))
    origin = mixed.long_frac.astype(int)  # which row it came from
    assert len(set(origin)) == len(origin)
    assert (data.symbol[origin] == mixed.symbol).all()
    assert (mixed.end - mixed.at == (data.end - data.at)[origin]).all()
    assert np.array_equal(mixed.long_r, data.long_r[origin])
    came_from = dict(zip(mixed.at.tolist(), data.at[origin].tolist(), strict=True))
    assert [came_from[c] for c in mixed.at.tolist()] == data.at[origin].tolist()  # all symbols alike
    kept = {(s, c): x for s, c, x in zip(data.symbol, data.at, data.x[:, 0], strict=True)}
    assert all(kept[s, c] == x for s, c, x in zip(mixed.symbol, mixed.at, mixed.x[:, 0], strict=True))
    steps = np.array([came_from[c] - c for c in sorted(came_from)])
    assert (np.diff(steps) != 0).sum() <= 2 * (bars // block + 2)  # whole blocks, but for those of the late symbol


def test_skill_ranks_above_all_that_permuted_outcomes_teach():
    found = null_test(some_rows(), Skill(Line), permutations=19, block=24)
    assert found.p == 1 / 20
    assert abs(found.lift) < 3
    assert found.real > 0.15


def test_where_there_is_nothing_to_learn_any_rank_is_as_likely():
    ranks = [null_test(some_rows(120, 0.0, n), Skill(Line), 9, 24, seed=n).p for n in range(40)]
    assert np.mean(ranks) == pytest.approx(0.55, abs=0.2)
    assert np.mean(np.array(ranks) <= 0.1) < 0.3


def test_a_pipeline_that_peeks_is_given_away_by_what_it_finds_in_noise():
    def peeking(data):
        return float(np.corrcoef(np.tanh(data.long_r), data.long_r)[0, 1])

    found = null_test(some_rows(), peeking, 9, 24)
    assert found.lift > 3
    assert found.p > 0.05


def test_it_ends_once_enough_did_as_well():
    skills = iter([0.1, 0.05, 0.2, 0.0, 0.3])
    assert null_test(some_rows(60), lambda data: next(skills), 19, 24, enough=2).permuted == (0.05, 0.2, 0.0, 0.3)


def test_what_was_not_computed_is_no_rank():
    assert np.isnan(NullTest(float("nan"), (0.1, 0.2)).p)
    assert np.isnan(NullTest(0.3, ()).p)
    assert NullTest(0.3, (0.3, 0.1, float("nan"))).p == 3 / 4  # ties and what failed count against it
    assert (
        Skill(lambda data: type("No", (), {"predict": lambda self, x: Told(x[:, 0] * np.nan, x[:, 0])})())(
            some_rows(100)
        )
        == 0.0
    )
