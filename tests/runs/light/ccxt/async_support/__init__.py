"""As above."""

from pathlib import Path

import ccxt

__path__ += [str(Path(at, "async_support")) for at in ccxt.__path__[1:]]

from ccxt.async_support.binanceusdm import binanceusdm  # noqa: E402

__all__ = ["binanceusdm"]
