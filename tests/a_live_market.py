"""A market that waits for its trader, or doesn't, made of frames of bars around a simulated venue in this process."""

from queue import SimpleQueue

from qtlib.engine.feeds import Past, steps
from qtlib.exchanges.port import BarHeard


class LiveMarket:
    """`MarketData` over `venue`, which lives through `bars` when told to."""

    def __init__(self, venue, bars):
        self.venue, self.frames = venue, bars
        self.coming = list(steps(Past(bars), after=venue.now))
        self.heard = SimpleQueue()
        if not self.lived():
            self.step()

    def lived(self):
        return [ts for frame in self.frames.values() for ts in frame.index if ts <= self.venue.now]

    @property
    def now(self):
        return self.venue.now

    def step(self):
        while self.coming and self.coming[0].ts <= self.venue.now:  # lived through, and nobody heard
            self.coming.pop(0)
        if not self.coming:
            return 0
        step = self.coming[0]
        self.venue.advance(step)
        self.coming.pop(0)
        for symbol, bar in step.bars.items():
            self.heard.put(BarHeard(symbol, bar))
        return 1

    def bars(self, symbols, timeframe, count):
        from qtlib.domain.market import Bar

        def of(frame):
            past = frame[frame.index <= self.now].tail(count)
            return [Bar(ts.to_pydatetime(), *row) for ts, row in zip(past.index, past.to_numpy().tolist(), strict=True)]

        return {symbol: of(self.frames[symbol]) for symbol in symbols if symbol in self.frames}

    def marks(self, symbols, timeframe, count):
        return {}

    def funding(self, symbols, since):
        return {}

    def watch(self, symbols, timeframe):
        return self.heard
