"""How long a test waits for what has to come about: until it is so, on however busy a machine.

Only what is stuck is waited for so long. A law that is about time is about that of a machine of its own: `alone`.
"""

import os
import time

PATIENCE_S = 240.0


def until(found, patience_s=PATIENCE_S):
    """Wait for `found` to give something true, and return it."""
    ends = time.monotonic() + patience_s
    while not (value := found()):
        assert time.monotonic() < ends, f"waited {patience_s:g} s in vain"
        time.sleep(0.02)
    return value


def alone(seconds):
    """What `seconds` on a machine of its own may become where others are at work."""
    return seconds * (1.0 + os.getloadavg()[0] / os.cpu_count())
