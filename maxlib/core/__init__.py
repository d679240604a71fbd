"""Floor 0: what every room may use — errors, frozen configs, canonical bytes."""
