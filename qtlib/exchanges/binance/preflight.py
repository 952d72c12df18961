"""What is found out about the venue before a session trades on it; whatever can be set is set, read back, compared.

Each step says what it found, or why it is not good enough: a step that is not ends entries, never protection. To add a
step: write the coroutine, from what is `Wanted` to words; raise one of the port's errors to refuse; add it to `STEPS`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qtlib.domain.events import OrderChanged
from qtlib.domain.market import Instrument, steps_up
from qtlib.domain.naming import TRIAL
from qtlib.domain.orders import OrderIntent, OrderStatus, OrderType, Role, Side
from qtlib.exchanges.binance import listings
from qtlib.exchanges.binance.account import Account
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.binance.words import ms_of
from qtlib.exchanges.port import Refused, Unknown, Untrusted

MOST_OFFSET_MS, WARN_OFFSET_MS = 5_000, 1_000
FAR_FRAC = 0.3  # of the price: where the stop that is only tried out lies
_MARGIN_TYPES = {"isolated": "ISOLATED", "cross": "CROSSED"}
_SET_ALREADY = "-4046"  # the margin type is the one asked for


@dataclass(slots=True)
class Wanted:
    """What a session needs, and what the steps before found."""

    client: Client
    account: Account
    mode: Mode
    symbols: tuple[str, ...]
    leverage: int
    margin_mode: str  # isolated or cross
    instruments: dict[str, Instrument] = field(default_factory=dict)


async def reachable(wanted: Wanted) -> str:
    began = wanted.client.wall()
    await wanted.client.fapiPublicGetPing()
    return f"{wanted.client.address.rest} answers in {1000 * (wanted.client.wall() - began):.0f} ms"


async def clock(wanted: Wanted) -> str:
    await wanted.client.set_clock()
    return clock_words(wanted.client.clock_offset_ms)


def clock_words(offset_ms: int) -> str:
    """
    >>> clock_words(-30)
    "our clock is 30 ms behind the venue's"
    """
    words = f"our clock is {abs(offset_ms)} ms {'ahead of' if offset_ms > 0 else 'behind'} the venue's"
    if abs(offset_ms) > MOST_OFFSET_MS:
        raise Untrusted(f"{words}, more than {MOST_OFFSET_MS} ms: set it (ntp) before money depends on it")
    return words + (f"; above {WARN_OFFSET_MS} ms is worth a look" if abs(offset_ms) > WARN_OFFSET_MS else "")


async def permissions(wanted: Wanted) -> str:
    config = await wanted.client.fapiPrivateGetAccountConfig()
    if not config["canTrade"]:
        raise Untrusted("this key may not trade: allow futures trading for it, for this machine's address")
    if wanted.mode is Mode.DEMO:
        return "the key may trade; what else it may do, the demo does not say"
    rights = await wanted.client.sapiGetAccountApiRestrictions()
    return key_words(rights)


def key_words(rights: Mapping[str, Any]) -> str:
    """What the rights of a key that may trade are worth saying.

    >>> key_words({"enableWithdrawals": False, "ipRestrict": True})
    'the key may trade'
    >>> key_words({"enableWithdrawals": True, "ipRestrict": False})
    'the key may trade; WARNING: it may also withdraw: take that right away; it works from any address: restrict it'
    """
    warnings = ["it may also withdraw: take that right away"] if rights.get("enableWithdrawals") else []
    warnings += [] if rights.get("ipRestrict") else ["it works from any address: restrict it"]
    return "the key may trade" + ("; WARNING: " + "; ".join(warnings) if warnings else "")


async def account_mode(wanted: Wanted) -> str:
    config = await wanted.client.fapiPrivateGetAccountConfig()
    if config["dualSidePosition"]:
        raise Untrusted("the account is in hedge mode, and must be in one-way mode: close positions, then change it")
    if config["multiAssetsMargin"]:
        raise Untrusted("the account is in multi-assets mode, and must be in single-asset mode: change it at the venue")
    if (await wanted.client.fapiPrivateV2GetAccount()).get("feeBurn", False):
        raise Untrusted("fees are paid in BNB, where no profit and no loss would hold them: turn that off at the venue")
    return "one-way, single-asset, fees in the quote"


async def listed(wanted: Wanted) -> str:
    """What is not listed at all is a mistake in the settings; what does not trade for now is only not entered."""
    found = await listings.listing(wanted.client, wanted.symbols)
    if strangers := [why for symbol, why in found.out.items() if symbol not in found.instruments]:
        raise Refused("; ".join(strangers))
    wanted.symbols = found.traded
    wanted.instruments = {symbol: found.instruments[symbol] for symbol in found.traded}
    words = ", ".join(f"{i.symbol} (tick {i.tick:f}, lot {i.lot:f})" for i in wanted.instruments.values())
    return words + (f"; WARNING: {', '.join(found.out.values())}" if found.out else "")


async def margin(wanted: Wanted) -> str:
    """Margin type first: leverage means something else in each."""
    margin_type = _MARGIN_TYPES[wanted.margin_mode]
    there = await _config(wanted)
    others = [s for s in wanted.symbols if there[s]["marginType"] != margin_type]
    await asyncio.gather(*(_set_margin(wanted.client, symbol, margin_type) for symbol in others))
    others = [s for s in wanted.symbols if int(there[s]["leverage"]) != wanted.leverage]
    post = wanted.client.fapiPrivatePostLeverage
    await asyncio.gather(*(post({"symbol": symbol, "leverage": str(wanted.leverage)}) for symbol in others))
    found = await _config(wanted)
    for symbol in wanted.symbols:
        said = (found[symbol]["marginType"], int(found[symbol]["leverage"]))
        if said != (margin_type, wanted.leverage):
            raise Untrusted(f"{symbol} is {said[0]} at {said[1]}, and was set to {margin_type} at {wanted.leverage}")
    wanted.account.listed.expect(wanted.leverage)
    return f"{wanted.margin_mode} at leverage {wanted.leverage}, read back for {len(wanted.symbols)} symbols"


async def stops(wanted: Wanted) -> str:
    """A stop is placed where no price is, read back, and cancelled."""
    if not wanted.instruments:
        raise Refused("without an instrument no stop can be tried")
    instrument = next(iter(wanted.instruments.values()))
    mark = float((await wanted.client.fapiPublicGetPremiumIndex({"symbol": instrument.symbol}))["markPrice"])
    stop = trial_stop(instrument, mark, await wanted.account.now(), wanted.client.wall())
    try:
        placed = await wanted.account.submit(stop)
        if not placed:
            raise Unknown(f"whether the stop {stop.client_id} arrived is not known")
        if no := next((e for e in placed if isinstance(e, OrderChanged) and e.status is OrderStatus.REJECTED), None):
            raise Refused(f"a stop of {stop.quantity:f} {stop.symbol} at {stop.trigger:f} is refused: {no.reason}")
        resting = (await wanted.account.snapshot()).orders.get(stop.client_id)
        if resting is None or (resting.trigger, resting.quantity) != (stop.trigger, stop.quantity):
            raise Untrusted(f"a stop of {stop.quantity:f} {stop.symbol} at {stop.trigger:f} is read back as {resting}")
    finally:
        await wanted.account.cancel(stop)
    if stop.client_id in (await wanted.account.snapshot()).orders:
        raise Untrusted(f"the stop {stop.client_id} was cancelled, and is still there: cancel it at the venue")
    return f"{stop.symbol} at {stop.trigger:f}: placed, read back, cancelled, gone"


def trial_stop(instrument: Instrument, mark: float, now: datetime, wall: float) -> OrderIntent:
    """The smallest stop that counts, far above the mark price: nothing could fill it in the moment that it is there."""
    trigger = instrument.price(mark * (1 + FAR_FRAC), "up")
    lots = max(1, steps_up(float(instrument.min_notional) / mark / float(instrument.lot), 1.0))
    name = f"{TRIAL}{ms_of(now):x}-{int(wall * 1000) % 1_000_000}"  # another each time
    kind = OrderType.STOP_MARKET
    return OrderIntent(name, instrument.symbol, Side.BUY, lots * instrument.lot, Role.FOREIGN, kind, trigger=trigger)


STEPS: Mapping[str, Callable[[Wanted], Awaitable[str]]] = {
    "reachable": reachable,
    "clock": clock,
    "permissions": permissions,
    "account mode": account_mode,
    "symbols": listed,
    "margin": margin,
    "stops": stops,
}

# --- below ------------------------------------------------------------------------------------------------


async def _config(wanted: Wanted) -> dict[str, Mapping[str, Any]]:
    rows = await wanted.client.fapiPrivateGetSymbolConfig()
    return {row["symbol"]: row for row in rows}


async def _set_margin(client: Client, symbol: str, margin_type: str) -> None:
    try:
        await client.fapiPrivatePostMarginType({"symbol": symbol, "marginType": margin_type})
    except Refused as no:
        if not str(no).startswith(_SET_ALREADY):
            raise Refused(f"{symbol} can't be set to {margin_type}: {no}") from no
