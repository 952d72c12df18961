"""Who does the fits makes no difference: this process, or several beside it."""

from functools import partial
from itertools import count

import numpy as np
from rows import a_dataset

from qtlib.learning.nulltest import Skill, null_test
from qtlib.learning.predictions import one_by_one, told
from qtlib.learning.training import TrainParams, fit, fitting
from qtlib.learning.validation import ValidationParams, walk_forward
from qtlib.runs.learning.hands import hands

PARAMS = TrainParams(model="boosted", folds=2, min_rows=100)
CUT = ValidationParams(folds=3)
DATA = a_dataset(1500)


def test_one_hand_is_this_process():
    assert hands(1) is one_by_one


def test_two_processes_find_to_the_bit_what_one_finds_and_begin_nothing_that_nobody_waits_for():
    make, each = fitting(PARAMS), hands(2)

    def found(who):
        out = walk_forward(DATA, make, CUT, lambda fit, asked: who(partial(told, fit), asked))
        null = null_test(DATA, Skill(make), 4, 24, max_rows=900, each=who)
        return out.score.tobytes(), out.confidence.tobytes(), out.fold.tobytes(), null

    assert found(each) == found(one_by_one)
    asked = count()
    first = each(abs, asked)
    assert [next(first) for _ in range(3)] == [0, 1, 2]
    first.close()
    assert next(asked) < 10  # few lay ready, and the others were never asked for


def test_what_a_fit_draws_it_draws_once():
    """So rows may be drawn before they travel."""
    data = a_dataset(1500, weight=np.random.default_rng(3).random(1500))
    drawn = data.drawn(700)
    assert drawn.drawn(700).fingerprint == drawn.fingerprint
    params = TrainParams(model="logistic", folds=2, min_rows=100, max_rows=700)
    one, other = (fit(rows, params).predict(DATA.x) for rows in (data, drawn))
    assert np.array_equal(one.score, other.score)
    assert np.array_equal(one.confidence, other.confidence)
