"""Floor 4: strategies — from structure to a signal. They know nothing of options, money or orders."""
