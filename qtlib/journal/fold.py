"""What is news, and what it adds up to: the arithmetic that every journal shares.

Events are folded before they are written, and what can't be folded is not written: an `absorb` is all or nothing.
"""

from collections.abc import Callable, Iterable

from qtlib.domain.advance import advance
from qtlib.domain.events import BarClosed, DecisionMade, Event
from qtlib.domain.state import State

Tell = Callable[[Event], State]  # says that an event follows; the state after it
Conclusions = Callable[[State, Tell], object]  # what follows from a state, told event by event
Listener = Callable[[State, Event, State], None]  # is told of each event that was news, with the state around it


Step = tuple[State, Event, State]  # an event that was news, and the state before and after it


def fold(
    state: State,
    events: Iterable[Event],
    then: Conclusions | None,
    known: Callable[[str], object],
    *,
    whole: bool = False,
) -> tuple[State, dict[str, Step]]:
    """The state after what is news of `events`, and of what `then` concludes; and the news, by key, in order.

    News is what is not `known` by its key, nor the second of its key in here. `whole`: `state` is all that the
    journal adds up to, so that the next bar and the next decision are news without asking.
    """
    news: dict[str, Step] = {}

    def tell(event: Event) -> State:
        nonlocal state
        key = event.key
        if key not in news and ((whole and _is_next(event, state)) or not known(key)):
            before, state = state, advance(state, event)
            news[key] = (before, event, state)
        return state

    for event in events:
        tell(event)
    if then is not None:
        then(state, tell)
    return state, news


def _is_next(event: Event, state: State) -> bool:
    """Whether `event` is a bar later than the state's last, or a decision later than its last."""
    kind = type(event)
    return (kind is BarClosed and event.ts > state.ts) or (kind is DecisionMade and event.ts > state.decided)
