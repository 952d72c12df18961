"""What to want and do: pure functions over immutable values. Each rule's parameters stand beside it."""
