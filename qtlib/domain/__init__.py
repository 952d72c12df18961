"""What things are: immutable values and their arithmetic. Nothing here knows a clock, a disk or a network."""
