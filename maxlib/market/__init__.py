"""Floor 1: instruments, bars, the session calendar."""
