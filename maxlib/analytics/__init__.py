"""Floor 3: figures about results — metrics, statistics, stylised facts."""
