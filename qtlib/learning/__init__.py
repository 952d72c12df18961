"""From bars to beliefs. Here a number at a bar never depends on what came later, nor on how much came before."""
