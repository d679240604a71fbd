"""Floor 1: the append-only, hash-chained record of what was decided and why."""
