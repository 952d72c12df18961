"""Which path leads where: who may ask, what it weighs, how it counts as an order."""

from collections.abc import Callable
from typing import Any, NamedTuple

from qtlib.exchanges.simulated.served import account, algos, batches, history, market, orders, settings
from qtlib.exchanges.simulated.served.desk import Desk
from qtlib.exchanges.simulated.served.words import Asked

Answer = Callable[[Desk, Asked], Any]
Weight = Callable[[Asked], int]

NONE, KEY, SIGNED = "none", "key", "signed"


class Route(NamedTuple):
    answer: Answer
    weight: Weight
    security: str = SIGNED
    places: tuple[int, int] | None = None  # of an order: how it counts in ten seconds and in the minute
    weighed: bool = True  # whether the reply says how much weight is used


def _flat(weight: int) -> Weight:
    return lambda asked: weight


def _one_or_all(one: int, every: int) -> Weight:
    return lambda asked: one if asked.text("symbol") else every


def _by_limit(default: int, *steps: tuple[int, int], beyond: int) -> Weight:
    """The weight of the first step whose bound the asked limit is below."""

    def weigh(asked: Asked) -> int:
        limit = asked.whole("limit") or default
        return next((weight for bound, weight in steps if limit < bound), beyond)

    return weigh


ONE, TEN = _flat(1), _flat(10)
_CANDLES = _by_limit(500, (100, 1), (500, 2), (1001, 5), beyond=10)

ROUTES: dict[tuple[str, str], Route] = {
    # public
    ("GET", "v1/ping"): Route(market.ping, ONE, NONE),
    ("GET", "v1/time"): Route(market.server_time, ONE, NONE),
    ("GET", "v1/klines"): Route(market.klines, _CANDLES, NONE),
    ("GET", "v1/markPriceKlines"): Route(market.mark_price_klines, _CANDLES, NONE),
    ("GET", "v1/indexPriceKlines"): Route(market.index_price_klines, _CANDLES, NONE),
    ("GET", "v1/continuousKlines"): Route(market.continuous_klines, _CANDLES, NONE),
    ("GET", "v1/trades"): Route(market.trades, _flat(5), NONE),
    ("GET", "v1/historicalTrades"): Route(market.historical_trades, _flat(200), KEY),
    ("GET", "v1/aggTrades"): Route(market.agg_trades, _flat(20), NONE),
    ("GET", "v1/premiumIndex"): Route(market.premium_index, _one_or_all(1, 10), NONE),
    ("GET", "v1/fundingRate"): Route(market.funding_rate, _flat(0), NONE, weighed=False),
    ("GET", "v1/fundingInfo"): Route(market.funding_info, _flat(0), NONE, weighed=False),
    ("GET", "v1/ticker/24hr"): Route(market.ticker_24hr, _one_or_all(1, 40), NONE),
    ("GET", "v1/ticker/price"): Route(market.ticker_price, _one_or_all(1, 2), NONE),
    ("GET", "v2/ticker/price"): Route(market.ticker_price, _one_or_all(1, 2), NONE),
    ("GET", "v1/ticker/bookTicker"): Route(market.book_ticker, _one_or_all(2, 5), NONE),
    ("GET", "v1/depth"): Route(market.depth, _by_limit(500, (51, 2), (101, 5), (501, 10), beyond=20), NONE),
    # the account
    ("GET", "v3/account"): Route(account.account_v3, _flat(5)),
    ("GET", "v2/account"): Route(account.account_v2, _flat(5)),
    ("GET", "v3/balance"): Route(account.balance_v3, _flat(5)),
    ("GET", "v2/balance"): Route(account.balance_v3, _flat(5)),
    ("GET", "v3/positionRisk"): Route(account.position_risk_v3, _flat(5)),
    ("GET", "v2/positionRisk"): Route(account.position_risk_v2, _flat(5)),
    ("GET", "v1/leverageBracket"): Route(settings.leverage_bracket, ONE),
    ("GET", "v1/symbolConfig"): Route(settings.symbol_config, _flat(5)),
    ("GET", "v1/accountConfig"): Route(settings.account_config, _flat(5)),
    ("GET", "v1/commissionRate"): Route(settings.commission_rate, _flat(20)),
    ("GET", "v1/userTrades"): Route(history.user_trades, _flat(5)),
    ("GET", "v1/income"): Route(history.income, _flat(30)),
    ("POST", "v1/leverage"): Route(settings.set_leverage, ONE),
    ("POST", "v1/marginType"): Route(settings.set_margin_type, ONE),
    ("POST", "v1/positionMargin"): Route(settings.move_margin, _flat(1)),
    ("GET", "v1/positionMargin/history"): Route(history.margins_moved, _flat(1)),
    ("GET", "v1/forceOrders"): Route(history.force_orders, _one_or_all(20, 50)),
    ("GET", "v1/positionSide/dual"): Route(settings.position_mode, _flat(30)),
    ("POST", "v1/positionSide/dual"): Route(settings.set_position_mode, ONE),
    ("GET", "v1/multiAssetsMargin"): Route(settings.multi_assets, _flat(30)),
    ("POST", "v1/multiAssetsMargin"): Route(settings.set_multi_assets, ONE),
    ("GET", "sapi/v1/account/apiRestrictions"): Route(settings.api_restrictions, ONE, weighed=False),
    # orders
    ("POST", "v1/order"): Route(orders.place, _flat(0), places=(1, 1)),
    ("GET", "v1/order"): Route(orders.query, ONE),
    ("PUT", "v1/order"): Route(orders.amend, _flat(0), places=(1, 1)),
    ("DELETE", "v1/order"): Route(orders.cancel, ONE),
    ("GET", "v1/openOrder"): Route(orders.query_open, ONE),
    ("GET", "v1/openOrders"): Route(orders.open_orders, _one_or_all(1, 40)),
    ("GET", "v1/allOrders"): Route(orders.all_orders, _flat(5)),
    ("DELETE", "v1/allOpenOrders"): Route(orders.cancel_all, ONE),
    ("POST", "v1/batchOrders"): Route(batches.place_batch, _flat(5), places=(5, 1)),
    ("PUT", "v1/batchOrders"): Route(batches.amend_batch, _flat(5), places=(5, 1)),
    ("DELETE", "v1/batchOrders"): Route(batches.cancel_batch, ONE),
    ("POST", "v1/algoOrder"): Route(algos.place_algo, _flat(0), places=(1, 1)),
    ("GET", "v1/algoOrder"): Route(algos.query_algo, ONE),
    ("DELETE", "v1/algoOrder"): Route(algos.cancel_algo, ONE),
    ("GET", "v1/openAlgoOrders"): Route(algos.open_algos, _one_or_all(1, 40)),
    ("GET", "v1/allAlgoOrders"): Route(algos.all_algos, _flat(5)),
    ("DELETE", "v1/algoOpenOrders"): Route(algos.cancel_algos, ONE),
}
