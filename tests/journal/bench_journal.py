"""How fast the journal is: what appending and starting cost, and that neither grows with history.

`figures` returns them by name, each with its unit; run as a script, this prints them.
"""

import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # as a script it is alone

from stories import a_long_story  # noqa: E402

from qtlib.domain.advance import advance  # noqa: E402
from qtlib.domain.state import State  # noqa: E402
from qtlib.journal import Journal, MemoryJournal  # noqa: E402

SAMPLE = 20_000  # events that are timed


def figures(events: int = 1_000_000) -> dict[str, float]:
    """The journal's figures, with a history of so many `events`."""
    with tempfile.TemporaryDirectory(dir=".") as folder:  # here, because /tmp may be no disk
        return {"events": events, **in_memory(), **on_disk(Path(folder) / "journal.db", events)}


def in_memory() -> dict[str, float]:
    story = list(a_long_story(5 * SAMPLE))
    journal, state = MemoryJournal(), State()
    begun = time.perf_counter()
    for event in story:
        state = journal.absorb(state, [event])
    absorbed = time.perf_counter()
    state = State()
    for event in story:
        state = advance(state, event)
    advanced = time.perf_counter()
    overhead_s = (absorbed - begun) - (advanced - absorbed)
    return {"memory_overhead_us_per_event": 1e6 * overhead_s / len(story)}


def on_disk(path: Path, events: int) -> dict[str, float]:
    history = a_long_story(10**9)
    with Journal(path) as journal, journal.lease("bench"):
        young = _absorb_us(journal, journal.state(), history)
        synced = _absorb_us(journal, journal.state(), history, sample=200, synced=True)
        state = journal.state()
        left = events - 2 * SAMPLE - 200
        begun = time.perf_counter()
        while left > 0 and (batch := list(islice(history, min(left, 10_000)))):
            state = journal.absorb(state, batch)
            left -= len(batch)
        filling_s = time.perf_counter() - begun
        old = _absorb_us(journal, state, history)
    with Journal(path) as journal:
        clean_s = _seconds(journal.state)
        journal.absorb(journal.state(), islice(history, 4_999))  # the longest tail there is: a crash just before
        crashed = Journal(path)  # the next snapshot
        crashed_s = _seconds(crashed.state)
        crashed.close()
        reading_s = _seconds(lambda: sum(1 for _ in journal.events()))
    return {
        "absorb_us": young,
        "absorb_us_after_history": old,
        "absorb_synced_us": synced,
        "start_s_after_clean_end": clean_s,
        "start_s_after_crash": crashed_s,
        "batched_events_per_s": (events - 2 * SAMPLE - 200) / filling_s,
        "reading_events_per_s": events / reading_s,
        "bytes_per_event": path.stat().st_size / events,
    }


def _absorb_us(journal, state, history, sample=SAMPLE, synced=False) -> float:
    story = list(islice(history, sample))
    begun = time.perf_counter()
    for event in story:
        state = journal.absorb(state, [event], synced=synced)
    absorbed = time.perf_counter()
    return 1e6 * (absorbed - begun) / sample


def _seconds(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name:32} {figure:,.3f}")
