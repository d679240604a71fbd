"""Floor 4: how much, and whether at all."""
