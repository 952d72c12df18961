"""The world: where orders go, and where facts come from. An exchange never decides."""
