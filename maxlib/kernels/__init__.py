"""Floor 1: records, steps, systems, and the indicators that every desk shares."""
