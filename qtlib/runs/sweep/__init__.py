"""Sweeps: many settings traded over the same bars, by every core or a cluster, and what choosing among them is worth.

`plan` names the trials, `crew` has them traded on each worker's `bench`, `store` and the ledger keep them, `course`
goes through it all, and `findings` say what it came to.
"""
