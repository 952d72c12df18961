"""Venues that are not the one that is traded on: ccxt's own classes, whose transport ends here.

Each answers as its documentation says: the newest first, with so many rows at most.
"""

from urllib.parse import parse_qsl, urlsplit

import ccxt.async_support as ccxt
from builders import make_bars

from qtlib.market.timeframes import micros_in

HOUR_MS = 3_600_000
LAST = 1_100  # hours that are over; one more is open
HOLE = range(700, 703)  # hours of which no venue has a bar


def _bars():
    frame = make_bars(LAST + 1, seed=4)
    opens = (micros_in(frame.index) // 1_000 - HOUR_MS).tolist()
    return {
        at: cells
        for row, (at, cells) in enumerate(zip(opens, frame.to_numpy().tolist(), strict=True))
        if row not in HOLE
    }


BARS = _bars()
FIRST_MS = min(BARS)
NOW_MS = max(BARS) + HOUR_MS // 2
RATES = {at: round(1e-6 * number - 1e-4, 6) for number, at in enumerate(range(FIRST_MS, NOW_MS, 8 * HOUR_MS))}


class Bybit(ccxt.bybit):
    """With `latest_only`, as venues are that have no past: whatever is asked for, the last 300 bars are the answer."""

    latest_only = False

    async def fetch(self, url, method="GET", headers=None, body=None):
        place, words = _asked(url)
        found = {
            "time": lambda: {"timeNano": str(NOW_MS * 1_000_000)},
            "instruments-info": lambda: _instruments(words["category"]),
            "kline": lambda: {"list": self._told(BARS, words, "start", "end", 1_000)},
            "mark-price-kline": lambda: {"list": self._told(BARS, words, "start", "end", 1_000)},
            "history": lambda: {
                "list": [
                    {"symbol": "BTCUSDT", "fundingRate": str(cells[0]), "fundingRateTimestamp": at}
                    for at, *cells in self._told(
                        {at: [rate] for at, rate in RATES.items()}, words, "startTime", "endTime", 200
                    )
                ]
            },
        }[place]()
        return {"retCode": 0, "retMsg": "OK", "result": found, "time": NOW_MS}

    def _told(self, rows, words, first, last, most):
        if self.latest_only:
            return _newest(rows, 0, NOW_MS, 300)
        return _newest(rows, int(words[first]), int(words[last]), min(most, int(words["limit"])))


class Okx(ccxt.okx):
    async def fetch(self, url, method="GET", headers=None, body=None):
        place, words = _asked(url)
        most = {"history-mark-price-candles": 100, "funding-rate-history": 100}.get(place, 300)
        if place == "time":
            found = [{"ts": str(NOW_MS)}]
        elif place == "instruments":
            found = [_SWAP] if words["instType"] == "SWAP" else []
        else:  # both ends are left out; what is not known is not read
            rows = {at: [rate] for at, rate in RATES.items()} if place == "funding-rate-history" else BARS
            most = min(most, int(words.get("limit", most)))
            found = _newest(rows, int(words["before"]) + 1, int(words.get("after", NOW_MS)) - 1, most)
        if place == "funding-rate-history":
            found = [{"instId": "BTC-USDT-SWAP", "fundingTime": at, "realizedRate": rate} for at, rate in found]
        elif place.endswith("candles"):
            found = [[at, *prices, "0", volume, "0", "1"] for at, *prices, volume in found]
        return {"code": "0", "msg": "", "data": found}


def _asked(url):
    its = urlsplit(url)
    return its.path.rsplit("/", 1)[1], dict(parse_qsl(its.query))


def _newest(rows, first, last, most):
    return [[str(at), *map(str, rows[at])] for at in sorted(rows, reverse=True) if first <= at <= last][:most]


def _instruments(category):
    listed = [_PERPETUAL] if category == "linear" else [_SPOT] if category == "spot" else []
    return {"category": category, "list": listed, "nextPageCursor": ""}


_PERPETUAL = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "priceFilter": {"tickSize": "0.10"},
    "lotSizeFilter": {"minOrderQty": "0.001", "qtyStep": "0.001"},
    "fundingInterval": 480,
}
_SPOT = {
    "symbol": "ETHUSDT",
    "status": "Trading",
    "baseCoin": "ETH",
    "quoteCoin": "USDT",
    "priceFilter": {"tickSize": "0.01"},
    "lotSizeFilter": {"basePrecision": "0.0001", "quotePrecision": "0.01", "minOrderQty": "0.001"},
}
_SWAP = {
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "uly": "BTC-USDT",
    "settleCcy": "USDT",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "state": "live",
    "tickSz": "0.1",
    "lotSz": "1",
    "minSz": "1",
}
