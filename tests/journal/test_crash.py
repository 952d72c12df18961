"""A writer that is killed at any instant leaves a whole prefix of its story, and the next one goes on from there."""

import multiprocessing
import os
import random
import time
from functools import reduce
from itertools import islice

import pytest
from stories import a_long_story

from qtlib.domain.advance import advance
from qtlib.domain.state import State
from qtlib.journal import Journal

BATCH = 3  # events that belong together
FORK = multiprocessing.get_context("fork")  # a start of 10 ms, where a fresh interpreter takes a second


def tell_on(url, account, acknowledged):
    """Go on with the story from where the journal stands, saying after each step how many events are down."""
    journal = Journal(url, account, snapshot_every=50)
    journal.lease("teller", ttl_s=3600)
    state = journal.state()
    done = sum(1 for _ in journal.events())
    story = islice(a_long_story(10**9), done, None)
    os.write(acknowledged, f"{done}\n".encode())
    while True:
        state = journal.absorb(state, list(islice(story, BATCH)), synced=done % 5 == 0)
        done += BATCH
        os.write(acknowledged, f"{done}\n".encode())


def killed_while_telling(durable, after_s):
    """How many events the teller heard to be down before it was killed, `after_s` from its first word."""
    heard, said = os.pipe()
    teller = FORK.Process(target=tell_on, args=(durable.url, durable.account, said), daemon=True)
    teller.start()
    os.close(said)
    words = os.read(heard, 64)
    time.sleep(after_s)
    teller.kill()
    while more := os.read(heard, 1 << 16):
        words += more
    os.close(heard)
    teller.join()
    return int(words.split()[-1])


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_writer_leaves_a_whole_prefix_and_the_next_goes_on(durable, seed):
    dice = random.Random(seed)
    durable().close()  # the tables are there
    counts = [0]
    for _ in range(12):
        acknowledged = killed_while_telling(durable, after_s=dice.uniform(0, 0.04))
        with durable(snapshot_every=10**9) as journal:
            facts = [event for _, event in journal.events()]
            assert facts == list(a_long_story(len(facts)))  # a prefix, in order, nothing twice
            assert len(facts) - acknowledged in (0, BATCH)  # what was acknowledged, or one more that was on its way
            assert len(facts) % BATCH == 0  # what belongs together came together
            assert journal.state() == reduce(advance, facts, State())
        counts.append(len(facts))
    assert counts == sorted(counts)
    assert counts[-1] > 100
