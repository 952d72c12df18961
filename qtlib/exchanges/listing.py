"""When what a session knows of its venue's listing is worth reading again: the same for every exchange."""

from collections.abc import Iterable

from qtlib.domain.events import Event, OrderChanged
from qtlib.domain.orders import OrderStatus

_OF_A_LISTING = (  # what a venue says of orders that would fit another listing
    *("-1013:", "-1111:", "-1121:", "-2027:", "-2028:", "-4001:", "-4003:", "-4004:", "-4005:", "-4014:", "-4016:"),
    *("-4023:", "-4024:", "-4028:", "-4108:", "-4140:", "-4164:"),
)


def doubted(events: Iterable[Event]) -> bool:
    """Whether one of `events` is a refusal that another listing would explain."""
    return any(
        isinstance(event, OrderChanged)
        and event.status is OrderStatus.REJECTED
        and event.reason.startswith(_OF_A_LISTING)
        for event in events
    )
