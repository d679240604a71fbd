"""Floor 2: keeps a trader alive, alone and heard; imports floors 0-1 only, to outlive what it watches."""
