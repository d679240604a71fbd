"""Numbers as the live pages write them."""

from __future__ import annotations

from html import escape

from maxlib.market.calendar import new_york


def usd(cents: float, *, sign: bool = True) -> str:
    """Dollars and cents: "+$1,234.50", "−$3.00"."""
    lead = "−" if cents < 0 else "+" if sign and cents > 0 else ""
    return f"{lead}${abs(cents) / 100:,.2f}"


def hhmm(ts: int) -> str:
    """New York time of a UTC ns stamp, "09:47"."""
    return f"{new_york(ts):%H:%M}"


def tone(value: float) -> str:
    """CSS class of a gain or a loss."""
    return "mx-up" if value > 0 else "mx-down" if value < 0 else ""


def option(right: str, strike: float) -> str:
    """An option as a trader says it: "501 C", "612.50 P"."""
    return f"{strike:.2f}".removesuffix(".00") + f" {escape(right)}"
