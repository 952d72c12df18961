"""One word decides where orders go: contradictions are refused, secrets unseen, and a served mode stays at home."""

import asyncio
import json
import logging
import re
import sys
import traceback

import ccxt
import pytest
from a_served_venue import served

from qtlib.domain.events import START
from qtlib.exchanges.binance import modes
from qtlib.exchanges.binance.adapter import open_exchange
from qtlib.exchanges.binance.client import Client
from qtlib.exchanges.binance.modes import Mode
from qtlib.exchanges.port import ExchangeError, Unavailable, Untrusted

WRONG = f"wrong-{4711 * 2}"
ENVIRONMENT = {"QT_API_KEY": "k-4711", "QT_API_SECRET": "s-0815"}


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.LIVE])
def test_a_real_mode_takes_no_address(mode):
    with pytest.raises(Untrusted, match="contradicts"):
        modes.address(mode, "http://127.0.0.1:8081")
    assert modes.address(mode, None).rest.startswith("https://")


@pytest.mark.parametrize("mode", [Mode.SIM, Mode.PAPER])
@pytest.mark.parametrize(
    "url", [None, "https://fapi.binance.com", "http://10.0.0.7:8081", "http://127.0.0.1.evil.com", "ftp://127.0.0.1"]
)
def test_a_served_mode_takes_an_address_on_this_machine_only(mode, url):
    with pytest.raises(Untrusted):
        modes.address(mode, url)


@pytest.mark.parametrize("mode", [Mode.SIM, Mode.PAPER])
def test_a_served_mode_cannot_have_real_keys(mode):
    assert modes.keys(mode, ENVIRONMENT) == modes.Keys("sim", "sim")


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.LIVE])
def test_a_real_mode_says_which_key_is_missing(mode):
    assert modes.keys(mode, ENVIRONMENT) == modes.Keys("k-4711", "s-0815")
    with pytest.raises(Untrusted, match="QT_API_SECRET") as no:
        modes.keys(mode, {"QT_API_KEY": "k-4711"})
    assert "4711" not in str(no.value)


@pytest.mark.parametrize(
    ("mode", "url", "hosts"),
    [
        (Mode.SIM, "http://127.0.0.1:8081", {"127.0.0.1"}),
        (Mode.PAPER, "http://localhost:8081", {"127.0.0.1"}),
        (Mode.DEMO, None, {"demo-fapi.binance.com", "fstream.binancefuture.com"}),
        (Mode.LIVE, None, {"fapi.binance.com", "fstream.binance.com", "api.binance.com"}),
    ],
)
def test_a_mode_knows_the_addresses_that_are_its_own_and_no_others(mode, url, hosts):
    async def known():
        client = Client(mode, modes.address(mode, url), modes.Keys("k", "s"))
        words = json.dumps(client.urls["api"])
        with pytest.raises(ccxt.NotSupported):
            client.sign("account", ["dapiPrivate"], "GET", {})
        await client.end()
        return set(re.findall(r"//([^/:\"]+)", words))

    assert asyncio.run(known()) == hosts


def test_a_secret_is_in_no_text():
    shown = repr(modes.keys(Mode.LIVE, ENVIRONMENT)) + str(modes.keys(Mode.LIVE, ENVIRONMENT))
    assert "4711" not in shown
    assert "0815" not in shown


def test_neither_logs_nor_errors_show_key_or_signature(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    said = []
    with served() as venue:
        ours = open_exchange(Mode.SIM, url=venue.url, deadline_s=0.2)
        ours.snapshot()
        said.append(repr(ours))
        for broken in ("secret", "apiKey"):
            setattr(ours._client, broken, WRONG)
            with pytest.raises(Untrusted) as no:
                ours.snapshot()
            said += traceback.format_exception(no.value)
    with pytest.raises(ExchangeError) as no:  # the venue is gone
        ours.snapshot()
    said += traceback.format_exception(no.value)
    ours.close()
    shown = " ".join([*said, caplog.text, *capsys.readouterr()])
    assert WRONG not in shown
    assert "signature=" not in shown


def test_a_served_mode_connects_to_this_machine_and_nowhere_else():
    """Every connection that anything in this process tries is heard by the interpreter's own audit."""
    connected, looked_up, listening = set(), set(), True

    def hear(event, arguments):
        if listening and event == "socket.connect" and isinstance(arguments[1], tuple):
            connected.add(arguments[1][0])
        elif listening and event == "socket.getaddrinfo":
            looked_up.add(arguments[0])

    sys.addaudithook(hear)
    with served() as venue, open_exchange(Mode.SIM, url=venue.url) as ours:
        ours.events(START)
        ours.snapshot()
        ours.instruments(["BTCUSDT"])
        elsewhere = ("https://fapi.binance.com", "http://93.184.216.34", "http://[2606:2800::1]", "http://0x5db8d822")
        for address in elsewhere:  # as if something had turned it
            ours._client.urls["api"]["fapiPublic"] = address
            with pytest.raises(Unavailable):
                ours._ask(ours._client.fapiPublicGetTime())
        with pytest.raises(ccxt.NotSupported):
            ours._ask(ours._client.dapiPublicGetPing())
    listening = False
    assert connected == {"127.0.0.1"}
    assert looked_up <= {"127.0.0.1", None}
