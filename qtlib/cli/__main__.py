"""`python -m qtlib.cli` is `qt`."""

from qtlib.cli import main

main()
