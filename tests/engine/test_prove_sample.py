"""A sample of `make prove`: sessions through seeded trials keep every law of the witness; and the witness sees."""

import pytest
from a_trial import trial
from lived_trials import live

SEEDS = range(0, 150, 10)  # ten trials each


@pytest.mark.parametrize("first", SEEDS)
def test_a_session_keeps_every_law_whatever_goes_wrong(first):
    for seed in range(first, first + 10):
        life = live(trial(seed))
        assert life.broken == [], f"python -m tests.prove --seed {seed}"


@pytest.mark.parametrize("seed", range(8))
def test_a_session_keeps_every_law_over_the_wire_too(seed):
    assert live(trial(seed, wire=True)).broken == [], f"python -m tests.prove --seed {seed} --way 'over the wire'"


def test_a_seed_is_the_same_trial_and_the_same_life_each_time():
    for seed in range(5):
        assert trial(seed) == trial(seed)
        assert live(trial(seed)) == live(trial(seed))


def test_a_sample_meets_all_there_is_to_meet():
    lives = [live(trial(seed)) for seed in range(40)]
    met = {name: sum(life.figures.get(name, 0) for life in lives) for name in lives[0].figures}
    assert met["entries"] > 400
    assert met["lives"] > len(lives)
    assert 0.5 < met["quiet bars"] / met["bars"] < 0.9
    assert met["bare bars"] > 20  # which nothing quiet followed without a stop, or the end
    assert {word for life in lives for told in life.told for word in told.split() if word in WORDS} == WORDS
    assert any(trial(life.trial.seed).turned_over for life in lives)


WORDS = {"death", "late", "arrives", "down"}
