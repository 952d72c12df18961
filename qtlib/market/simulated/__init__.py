"""A simulated market: several perpetual futures that behave much as real ones do, from a seed and nothing else.

How real ones behave was measured: `likeness.json` holds the numbers found in ten of them and says in which bars, and
`qtlib.market.fitting` finds them anew (`qt data fit FOLDER`). From them come: one factor that moves all symbols and a
part of each one's own; volatility that clusters over minutes, days and months, and follows the hours of the day and
the days of the week; fat tails and jumps; how far a bar reaches beyond its ends; how often it opens where the last
closed; volume that grows with range and has good and bad months; a mark price that is not quite the last price; funding
every eight hours. `qtlib.market.facts` measures both markets in the same way, side by side. What isn't in it: an order
book, and prices that move because somebody trades.

What can be earned in it is planted and known. Each symbol's price drifts up or down for days (the drift's half-life is
`drift_half_life_h`), and `edge` is the annual Sharpe ratio, before costs, of one who *sees* the drift and holds in
proportion to it. Whoever sees only prices gets a fraction of that. With `edge=0` prices are a martingale: nobody who
reads the past earns anything, and everyone pays costs. `regimes` put a story into it (a bull market, a crash of a named
size, a sideways market, an outage, a delisting): inside one that names where prices go they are no martingale.

A longer simulation begins with the shorter one, bit for bit; and a symbol's bars do not depend on which others are
simulated beside it. For bars with finer ones inside: `simulate(SimulatedMarket(timeframe="5m"), n).coarser("1h")`.
"""

from qtlib.market.simulated.likeness import LIKENESS, Likeness
from qtlib.market.simulated.market import EDITION, LISTINGS, Listing, SimulatedMarket, simulate
from qtlib.market.simulated.regimes import Regime

__all__ = ["EDITION", "LIKENESS", "LISTINGS", "Likeness", "Listing", "Regime", "SimulatedMarket", "simulate"]
