"""Alpaca's paper account: requests, order states, trade stream, reconciliation, and a loopback fake of it."""
