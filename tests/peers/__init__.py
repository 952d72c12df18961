"""The same backtest as others do it: scripts for environments of their own, run by `tests/bench_peers.py`."""
