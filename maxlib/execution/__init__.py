"""Floor 4: exits, fill models, brokers."""
