"""Names: what a series is called on disk, and what follows from it.

`BTCUSDT-1h` are bars, `BTCUSDT-1h-mark` those of the mark price, `BTCUSDT-funding` the rates that were settled. Bars
are stored under the time of their *open*, as the venue names them; rates under that of their settlement.
"""

from dataclasses import dataclass

from qtlib.market.quality import COLUMNS
from qtlib.market.timeframes import micros_of

BARS, MARKS, FUNDING = "bars", "mark", "funding"
RATES = ("funding_rate",)


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """One series of one symbol."""

    symbol: str
    timeframe: str = ""  # empty for funding rates, which come when they come
    kind: str = BARS

    @staticmethod
    def of(text: str) -> "Name | None":
        """The series that `text` names; None where it names none.

        >>> Name.of("BTCUSDT-1h-mark"), Name.of("BTCUSDT-hourly")
        (Name(symbol='BTCUSDT', timeframe='1h', kind='mark'), None)
        """
        symbol, _, rest = text.partition("-")
        timeframe, _, kind = rest.partition("-")
        if not symbol or kind not in ("", MARKS):
            return None
        if rest == FUNDING:
            return Name(symbol, "", FUNDING)
        try:
            micros_of(timeframe)
        except ValueError:
            return None
        return Name(symbol, timeframe, kind or BARS)

    def __str__(self) -> str:
        words = {BARS: self.timeframe, MARKS: f"{self.timeframe}-{MARKS}", FUNDING: FUNDING}
        return f"{self.symbol}-{words[self.kind]}"

    @property
    def columns(self) -> tuple[str, ...]:
        """What stands beside the time."""
        return RATES if self.kind == FUNDING else COLUMNS

    @property
    def span(self) -> int:
        """The length of a bar [µs]; 0 for rates."""
        return micros_of(self.timeframe) if self.timeframe else 0
