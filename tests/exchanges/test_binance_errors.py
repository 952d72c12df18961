"""What each answer of the venue's means for whoever asked: the table of the protocol page, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtlib.exchanges.binance.errors import Astray, Banned, Gone, Slowly, judge
from qtlib.exchanges.port import ExchangeError, Refused, Unavailable, Unknown, Untrusted

SAME = None  # of a question and of an order: no difference
ROWS = [
    # status, code, text, of what would have changed something, of a mere question
    (429, -1003, "Too many requests", Slowly, SAME),
    (418, -1003, "IP banned", Banned, SAME),
    (408, -1007, "Timeout; execution status unknown.", Unknown, Unavailable),
    (400, -1007, "Timeout; execution status unknown.", Unknown, Unavailable),
    (400, -1006, "Unexpected response; execution status unknown.", Unknown, Unavailable),
    (503, None, "Unknown error, please check your request or try again later.", Unknown, Unavailable),
    (503, None, "Service Unavailable.", Unavailable, SAME),
    (503, -1008, "Request throttled by system-level protection.", Unavailable, SAME),
    (403, None, "<html>firewall</html>", Untrusted, SAME),
    (502, None, "<html>Bad Gateway</html>", Unknown, Unavailable),
    (504, None, "", Unknown, Unavailable),
    (401, -2014, "API-key format invalid.", Untrusted, SAME),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", Untrusted, SAME),
    (400, -1022, "Signature for this request is not valid.", Untrusted, SAME),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", Astray, SAME),
    (400, -5028, "Timestamp for this request is outside of the ME recvWindow.", Astray, SAME),
    (400, -1015, "Too many new orders.", Slowly, SAME),
    (400, -1102, "Mandatory parameter 'quantity' was not sent.", Refused, SAME),
    (400, -1111, "Precision is over the maximum defined for this asset.", Refused, SAME),
    (400, -1121, "Invalid symbol.", Refused, SAME),
    (400, -1125, "This listenKey does not exist.", Refused, SAME),
    (400, -2010, "New order rejected.", Refused, SAME),
    (400, -2011, "Unknown order sent.", Gone, SAME),
    (400, -2013, "Order does not exist.", Gone, SAME),
    (400, -2019, "Margin is insufficient.", Refused, SAME),
    (400, -2021, "Order would immediately trigger.", Refused, SAME),
    (400, -2022, "ReduceOnly Order is rejected.", Refused, SAME),
    (400, -2023, "User in liquidation mode now.", Untrusted, SAME),
    (400, -2027, "Exceeded the maximum allowable position at current leverage.", Refused, SAME),
    (400, -4046, "No need to change margin type.", Refused, SAME),
    (400, -4061, "Order's position side does not match user's setting.", Untrusted, SAME),
    (400, -4116, "ClientOrderId is duplicated.", Unknown, Unavailable),
    (400, -4130, "An open stop or take profit order with closePosition is existing.", Refused, SAME),
    (400, -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.", Refused, SAME),
    (400, -4164, "Order's notional must be no smaller than 5.", Refused, SAME),
    (400, -4400, "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed.", Untrusted, SAME),
    (400, -5022, "Post Only order will be rejected.", Refused, SAME),
    (404, -5000, "Path /fapi/v1/nowhere, Method GET is invalid", Refused, SAME),
    (200, None, "", Unknown, Unavailable),  # an answer that says nothing
]


@pytest.mark.parametrize(("status", "code", "text", "changing", "asking"), ROWS)
def test_an_answer_means_what_the_table_says(status, code, text, changing, asking):
    assert type(judge(status, code, text, changes=True)) is changing
    assert type(judge(status, code, text, changes=False)) is (asking or changing)


@pytest.mark.parametrize(("status", "code", "text"), [row[:3] for row in ROWS if row[1]])
def test_what_is_raised_says_the_venues_code_and_words(status, code, text):
    assert str(judge(status, code, text, changes=True)) == f"{code}: {text}"


@given(status=st.integers(100, 599), code=st.none() | st.integers(-9_999, 0), text=st.text(), changes=st.booleans())
def test_every_answer_means_something_and_no_question_is_of_unknown_outcome(status, code, text, changes):
    meaning = judge(status, code, text, changes)
    assert isinstance(meaning, ExchangeError)
    assert changes or not isinstance(meaning, Unknown)


@given(status=st.sampled_from([500, 501, 502, 504, 520]), text=st.text())
def test_what_a_gateway_says_of_an_order_is_never_taken_for_a_no(status, text):
    assert type(judge(status, None, text, changes=True)) is Unknown
