"""Floor 5: the machine, and the shells that feed it events."""
