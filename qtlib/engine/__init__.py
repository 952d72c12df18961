"""The loops: the same lines trade the past and the present. They take values, never file names."""
