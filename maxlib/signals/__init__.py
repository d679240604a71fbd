"""Floor 3: market structure read from bars — levels, ICT patterns, waves, confluence."""
