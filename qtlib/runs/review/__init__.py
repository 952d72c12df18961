"""Looking back: a session beside its replay, a trade or a day told from the journal."""
