"""ccxt without the hundred venues that no session of ours asks: the very same code of the one that it does.

What is on the path before the library itself is found first; all but this file and the one below is the library's.
"""

import sys
from pathlib import Path

_OURS = Path(__file__).parents[1]
__path__ += [str(Path(at, "ccxt")) for at in sys.path if Path(at) != _OURS and Path(at, "ccxt").is_dir()]

from ccxt.base.errors import *  # noqa: E402, F403
from ccxt.base.exchange import Exchange  # noqa: E402, F401
