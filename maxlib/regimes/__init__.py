"""Floor 3: the state the market is in, and who may trade in it."""
