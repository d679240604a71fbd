"""Floor 2: option contracts, prices and the volatility they are priced with."""
