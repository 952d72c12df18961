"""Messages as the venue writes them on its streams, naming only what matters."""

AT = 1_767_225_600_000  # 2026-01-01, in ms


def order_told(execution="NEW", status=None, *, at=AT, **o):
    """ORDER_TRADE_UPDATE; `o` has the venue's own one-letter names."""
    said = {
        "s": "BTCUSDT",
        "c": "ours-1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.010",
        "p": "0",
        "ap": "0",
        "sp": "0",
        "x": execution,
        "X": status or execution,
        "i": 8886774,
        "l": "0",
        "z": "0",
        "L": "0",
        "T": at,
        "t": 0,
        "b": "0",
        "a": "9.91",
        "m": False,
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": "LIMIT",
        "ps": "BOTH",
        "cp": False,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": "0",
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": said | o}


def trade_told(trade=1, quantity="0.010", filled="0.010", status="FILLED", execution="TRADE", **o):
    given = {"t": trade, "l": quantity, "z": filled, "L": "60012.50", "N": "USDT", "n": "0.30006250"}
    return order_told(execution, status, **given | o)


def algo_told(status="NEW", *, at=AT, **o):
    """ALGO_UPDATE of a stop."""
    said = {
        "caid": "stop-1",
        "aid": 2148719,
        "at": "CONDITIONAL",
        "o": "STOP_MARKET",
        "s": "BTCUSDT",
        "S": "SELL",
        "ps": "BOTH",
        "f": "GTC",
        "q": "0.010",
        "X": status,
        "ai": "",
        "ap": "0.00000",
        "aq": "0.00000",
        "act": "0",
        "tp": "58000",
        "p": "0",
        "V": "EXPIRE_MAKER",
        "wt": "CONTRACT_PRICE",
        "pm": "NONE",
        "cp": False,
        "pP": False,
        "R": True,
        "tt": 0,
        "gtd": 0,
        "rm": "",
    }
    return {"e": "ALGO_UPDATE", "E": at, "T": at, "o": said | o}


def account_told(reason="ORDER", *, at=AT):
    balances = [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}]
    return {"e": "ACCOUNT_UPDATE", "E": at, "T": at, "a": {"m": reason, "B": balances, "P": []}}


def trade_lite(trade=1, *, at=AT, client_id="ours-1"):
    said = {"s": "BTCUSDT", "q": "0.010", "p": "0.00", "m": False, "c": client_id, "S": "BUY", "L": "60012.50"}
    return {"e": "TRADE_LITE", "E": at, "T": at, **said, "l": "0.010", "t": trade, "i": 8886774}


def margin_call(at=AT):
    position = {"s": "ETHUSDT", "ps": "LONG", "pa": "1.327", "mt": "CROSSED", "iw": "0", "mp": "187.17127"}
    return {"e": "MARGIN_CALL", "E": at, "cw": "3.16812045", "p": [position | {"up": "-1.166074", "mm": "1.614445"}]}


def settings_told(at=AT, **what):
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at, "T": at, **what}


def kline_told(opened=AT, closed=True, *, symbol="BTCUSDT", span=60_000, close="60012.50"):
    k = {
        "t": opened,
        "T": opened + span - 1,
        "s": symbol,
        "i": "1m",
        "f": 100,
        "L": 200,
        "o": "60000.00",
        "c": close,
        "h": "60020.10",
        "l": "59990.00",
        "v": "1000.125",
        "n": 100,
        "x": closed,
        "q": "60000000.0",
        "V": "500",
        "Q": "30000000.0",
        "B": "0",
    }
    return {"e": "kline", "E": opened + span, "s": symbol, "k": k}


def mark_told(at=AT, price="60001.25000000", symbol="BTCUSDT"):
    said = {"p": price, "i": price, "P": price, "r": "0.00010000", "T": at + 1}
    return {"e": "markPriceUpdate", "E": at, "s": symbol, **said}
