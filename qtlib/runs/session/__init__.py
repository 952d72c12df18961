"""A session on this machine: its venue, its start-up, its recovery, and the desk from which it is steered."""
