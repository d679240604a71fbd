"""Floor 2: intents, orders, fills, positions and the ledger, in integer cents."""
