"""The commands of `maxtrader`, by what they are about."""
