"""A fit finds what is there, says how sure it may be, and finds nothing where nothing is; to the bit, always."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import a_dataset
from threadpoolctl import threadpool_limits

from qtlib.learning.calibration import calibrate
from qtlib.learning.models import MODELS, Reading
from qtlib.learning.training import TrainParams, Unlearnable, fit

every = pytest.mark.parametrize("model", MODELS)
learning = pytest.mark.parametrize("model", ["boosted", "logistic"])
LATER = a_dataset(6000, seed=99)


def fitted(model="boosted", data=None, **params):
    return fit(data or a_dataset(), TrainParams(model=model, **params))


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def models():
    return {model: fitted(model) for model in MODELS}


@every
def test_the_same_rows_make_the_same_bits_on_any_number_of_threads(model, models):
    with threadpool_limits(1):
        alone = fitted(model).predict(LATER.x)
    with threadpool_limits(2):
        together = fitted(model).predict(LATER.x)
    assert same(alone, together)
    assert same(alone, models[model].predict(LATER.x))


@every
@given(first=st.integers(0, 5900), size=st.sampled_from([1, 2, 7, 50]))
@settings(max_examples=12, deadline=None)
def test_a_row_is_predicted_alike_alone_and_among_many(model, models, first, size):
    few = models[model].predict(LATER.x[first : first + size])
    assert same(few, [told[first : first + size] for told in models[model].predict(LATER.x)])


@learning
def test_an_edge_that_is_there_is_found_and_valued_truly(model, models):
    told = models[model].predict(LATER.x)
    side = np.sign(told.score)
    taken = side != 0
    outcome = np.where(side > 0, LATER.long_r, LATER.short_r)[taken]
    expected = np.maximum(told.long_r, told.short_r)[taken]
    assert 0.2 < taken.mean() < 0.95
    assert outcome.mean() > 0.1
    assert outcome.mean() == pytest.approx(expected.mean(), abs=0.06)


@learning
def test_confidence_is_how_often_the_side_it_names_wins(model, models):
    told = models[model].predict(LATER.x)
    won = np.where(told.long_r >= told.short_r, LATER.long_r, LATER.short_r) > 0
    for part in np.array_split(np.argsort(told.confidence), 5):
        assert won[part].mean() == pytest.approx(told.confidence[part].mean(), abs=0.06)


@every
def test_where_there_is_no_edge_hardly_a_side_is_named(model):
    told = fitted(model, a_dataset(edge=0.0, seed=3)).predict(LATER.x)
    assert (told.score != 0).mean() < 0.02
    assert abs(told.confidence.mean() - (a_dataset(edge=0.0, seed=3).long_r > 0).mean()) < 0.05


@every
def test_predictions_stay_within_their_bounds_and_a_row_that_lacks_a_feature_has_none(model, models):
    x = np.concatenate([LATER.x[:50] * 1e6, LATER.x[:50]])
    x[60:70, 3] = np.nan
    told = models[model].predict(x)
    assert np.isnan(told.score[60:70]).all()
    assert np.isnan(told.confidence[60:70]).all()
    known = np.isfinite(told.score)
    assert known.sum() == 90
    assert (np.abs(told.score[known]) <= 1).all()
    assert ((told.confidence[known] >= 0) & (told.confidence[known] <= 1)).all()


def test_a_model_that_knows_nothing_never_names_a_side():
    told = fitted("flat", a_dataset(cost_r=0.1)).predict(LATER.x)
    assert not told.score.any()
    assert np.ptp(told.confidence) == 0


def test_a_row_of_little_weight_teaches_little():
    data, wrong = a_dataset(2000, edge=0.5), a_dataset(2000, edge=-0.5, seed=5)
    mixed = {
        name: np.stack([getattr(data, name), getattr(wrong, name)], axis=1).reshape(
            4000, *getattr(data, name).shape[1:]
        )
        for name in ("x", "long_r", "short_r")
    }
    for model in ("boosted", "logistic"):
        told = fitted(model, a_dataset(4000, weight=np.tile([1.0, 0.01], 2000), **mixed), folds=2).predict(LATER.x)
        assert np.corrcoef(told.long_r - told.short_r, LATER.x[:, 0])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (a_dataset(10), r"10 rows are fewer than 1000.*longer history"),
        (replace(a_dataset(10), dropped={"a feature is unknown": 7}), r"left out: 7 a feature is unknown"),
        (a_dataset(2000, x=np.ones((2000, 6))), r"all 6 features are constant over 2000 rows"),
        (a_dataset(2000, long_r=np.ones(2000)), r"2000 of 2000 longs end with net profit"),
        (a_dataset(2000, short_r=-np.ones(2000)), r"0 of 2000 shorts end with net profit"),
        (a_dataset(2000, x=np.where(np.arange(6) == 4, np.nan, 1.0) * np.ones((2000, 1))), r"noise_2 are not"),
    ],
)
def test_what_cannot_teach_is_refused_in_words(data, words):
    with pytest.raises(Unlearnable, match=words):
        fit(data)


def test_some_constant_features_do_no_harm():
    data = a_dataset(edge=0.5)
    x = data.x.copy()
    x[:, 3] = 7.0
    for model in ("boosted", "logistic"):
        told = fitted(model, replace(data, x=x)).predict(LATER.x)
        assert np.corrcoef(told.long_r - told.short_r, LATER.x[:, 0])[0, 1] > 0.8


def test_a_model_that_has_no_name_is_refused():
    with pytest.raises(ValueError, match="must be one of boosted, logistic, trend, flat"):
        TrainParams(model="oracle")
    with pytest.raises(ValueError, match="momentum_"):
        fitted("trend", replace(a_dataset(), names=tuple("abcdef")))


def test_symbols_that_move_as_one_and_hours_that_overlap_are_one_witness():
    """A reading of pure chance has a slope above zero half of the time; one time in six it may be believed at all."""
    believed, rows, day = 0, 1500, np.ones(24) / 24**0.5
    for seed in range(40):
        chance, noise = np.random.default_rng(seed).normal(size=(2, rows + 23))
        edge, outcome = np.convolve(chance, day, "valid"), np.convolve(noise, day, "valid")
        one = a_dataset(rows, symbols=("A",), span=24, long_r=outcome, short_r=-outcome)
        ten, edges = one.take(np.repeat(np.arange(rows), 10)), np.repeat(edge, 10)
        believed += calibrate(ten, Reading(edges, np.zeros(10 * rows))).r[1] > 0
    assert believed <= 12
