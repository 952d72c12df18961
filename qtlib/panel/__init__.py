"""The control panel: eyes on a session in another process, and a pen for commands to it.

It reads the account's journal, and what the session shows of itself; it asks by leaving commands in the journal, and
shows what became of each. It never talks to an exchange, and trades nothing: the session acts. Arithmetic is that of
`rules`, so that what is shown here is what is decided by there.
"""

from qtlib.panel.panel import Panel, control_panel

__all__ = ["Panel", "control_panel"]
