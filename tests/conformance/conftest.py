"""What runs in an environment of its own is not to be imported in ours."""

collect_ignore_glob = ["*_round.py", "freqtrade_*"]
