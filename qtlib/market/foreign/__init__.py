"""Other people's files: the venue's archive, freqtrade's, CSV, parquet. Each is read whole, or refused with its row."""

from qtlib.market.foreign.bringing import Brought, bring, read_file, recognised
from qtlib.market.foreign.tables import Hints

__all__ = ["Brought", "Hints", "bring", "read_file", "recognised"]
