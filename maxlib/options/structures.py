"""Option structures out of listed strikes: long, vertical, fly, broken wing, unbalanced 1:−3:+2.

A bullish structure is made of calls and a bearish one of puts. The rules are
written once, for the bullish side: the bearish side sees the strikes and prices
with the sign turned, so that "beyond" always means further the trade's way.
Strikes come from the chain and are never generated.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from maxlib.market.contract import Contract, Leg

Kind = Literal["long", "vertical", "fly", "broken_wing", "unbalanced"]
BuildCode = Literal["NO_STRIKES", "NOTHING_BEYOND", "TARGET_TOO_NEAR", "WING_NOT_LISTED", "NO_SAFE_WING"]

RATIOS: Final[dict[Kind, tuple[int, ...]]] = {
    "long": (1,),
    "vertical": (1, -1),
    "fly": (1, -2, 1),
    "broken_wing": (1, -2, 1),
    "unbalanced": (1, -3, 2),
}
"""Contracts a unit, from the strike nearest the spot outwards; above 0 bought, below 0 sold."""

KINDS: Final[tuple[Kind, ...]] = tuple(RATIOS)

BROKEN_WING_STRIKES: Final = 2
"""How many listed strikes beyond the balanced wing a broken wing stands (spec §5)."""


class Structure(NamedTuple):
    """A package that opens and closes as one: `side` +1 bullish with calls, -1 bearish with puts."""

    kind: Kind
    side: int
    legs: tuple[Leg, ...]

    @property
    def label(self) -> str:
        """Ratios and strikes, inner leg first.

        >>> structure("fly", -1, "QQQ", 20_406, (60000, 59500, 59000)).label
        'fly +1 600P -2 595P +1 590P'
        """
        legs = (f"{leg.ratio:+d} {leg.contract.strike:g}{leg.contract.right}" for leg in self.legs)
        return " ".join((self.kind, *legs))


class Unbuilt(NamedTuple):
    """Why there is no such structure: the code, and the strike that is missing or in the way, in cents.

    NO_STRIKES : nothing is listed; the strike is 0
    NOTHING_BEYOND : the list ends at this strike
    TARGET_TOO_NEAR : the target's strike is not beyond the strike to buy, which is this one
    WING_NOT_LISTED : this strike is not listed
    NO_SAFE_WING : no strike beyond this body is near enough for a tail without a loss of its own
    """

    kind: Kind
    side: int
    code: BuildCode
    strike_cents: int


class Listing(NamedTuple):
    """The strikes of one expiry that exist for the right in question, in cents, ascending."""

    root: str
    expiry: int
    strikes: tuple[int, ...]


def structure(kind: Kind, side: int, root: str, expiry: int, strikes: Sequence[int]) -> Structure:
    """The structure at given strikes in cents, from the one nearest the spot outwards.

    >>> structure("vertical", 1, "QQQ", 20_406, (60000, 60500)).label
    'vertical +1 600C -1 605C'
    """
    right = "C" if side > 0 else "P"
    pairs = zip(strikes, RATIOS[kind], strict=True)
    return Structure(kind, side, tuple(Leg(Contract(root, expiry, right, k), n) for k, n in pairs))


def build(
    kind: Kind, listing: Listing, side: int, spot: float, target: float, *, itm: int = 0
) -> Structure | Unbuilt:
    """The structure for a move from `spot` to `target`, or why it does not exist.

    With ATM the listed strike nearest the spot, T that nearest the target and w the
    next strike beyond ATM:

    * long: +ATM, or `itm` listed strikes further in the money (below 0: out of it);
    * vertical: +ATM −T;
    * fly: +w −2T +(2T−w), if 2T−w is listed;
    * broken_wing: +w −2T and the second listed strike beyond 2T−w;
    * unbalanced: +w −3T +2 of the farthest strike K with T−w ≥ 2·(K−T), so that the
      far tail is worth nothing or more.

    Parameters
    ----------
    side : +1 calls, -1 puts
    spot, target : dollars

    A price midway between two strikes goes to the even one (half to even, spec §5).
    Source: spec §5 "Structures"; definitions.md for the tail of 1:−3:+2.

    >>> build("fly", Listing("QQQ", 20_406, tuple(range(59000, 62000, 100))), 1, 600.2, 604.9).label
    'fly +1 601C -2 605C +1 609C'
    """
    if not listing.strikes:
        return Unbuilt(kind, side, "NO_STRIKES", 0)
    up = listing.strikes if side > 0 else tuple(-k for k in reversed(listing.strikes))
    chosen = _RULES[kind](up, side * spot * 100, side * target * 100, itm)
    if isinstance(chosen[0], str):
        return Unbuilt(kind, side, chosen[0], abs(chosen[1]))
    return structure(kind, side, listing.root, listing.expiry, [abs(k) for k in chosen])


def candidates(
    listing: Listing, side: int, spot: float, target: float, kinds: Sequence[Kind] = KINDS
) -> tuple[Structure | Unbuilt, ...]:
    """Each kind built for the same move, in the order given."""
    return tuple(build(kind, listing, side, spot, target) for kind in kinds)


# --- the rules, on strikes that ascend the trade's way


_Missing = tuple[BuildCode, int]


def _nearest(up: Sequence[int], price: float) -> int:
    """Index of the strike nearest `price`; at a tie the even multiple of the step."""
    i = bisect_left(up, price)
    if i == 0 or i == len(up):
        return max(0, i - 1)
    below, above = price - up[i - 1], up[i] - price
    if below == above:
        return i if up[i] // (up[i] - up[i - 1]) % 2 == 0 else i - 1
    return i if above < below else i - 1


def _long(up: Sequence[int], spot: float, _target: float, itm: int) -> tuple[int] | _Missing:
    i = _nearest(up, spot) - itm
    if not 0 <= i < len(up):
        return "NOTHING_BEYOND", up[0 if i < 0 else -1]
    return (up[i],)


def _vertical(up: Sequence[int], spot: float, target: float, _itm: int) -> tuple[int, int] | _Missing:
    i, j = _nearest(up, spot), _nearest(up, target)
    return (up[i], up[j]) if j > i else ("TARGET_TOO_NEAR", up[i])


def _inner(up: Sequence[int], spot: float, target: float) -> tuple[int, int] | _Missing:
    """The strike to buy (one beyond ATM) and the body at the target."""
    i, j = _nearest(up, spot) + 1, _nearest(up, target)
    if i == len(up):
        return "NOTHING_BEYOND", up[-1]
    return (up[i], up[j]) if j > i else ("TARGET_TOO_NEAR", up[i])


def _fly(up: Sequence[int], spot: float, target: float, _itm: int) -> tuple[int, int, int] | _Missing:
    inner = _inner(up, spot, target)
    if isinstance(inner[0], str):
        return inner
    low, body = inner
    wing = 2 * body - low
    i = bisect_left(up, wing)
    return (low, body, wing) if i < len(up) and up[i] == wing else ("WING_NOT_LISTED", wing)


def _broken_wing(up: Sequence[int], spot: float, target: float, _itm: int) -> tuple[int, int, int] | _Missing:
    inner = _inner(up, spot, target)
    if isinstance(inner[0], str):
        return inner
    low, body = inner
    i = bisect_right(up, 2 * body - low) + BROKEN_WING_STRIKES - 1
    return (low, body, up[i]) if i < len(up) else ("NOTHING_BEYOND", up[-1])


def _unbalanced(up: Sequence[int], spot: float, target: float, _itm: int) -> tuple[int, int, int] | _Missing:
    inner = _inner(up, spot, target)
    if isinstance(inner[0], str):
        return inner
    low, body = inner
    wing = up[bisect_right(up, body + (body - low) // 2) - 1]
    return (low, body, wing) if wing > body else ("NO_SAFE_WING", body)


_Rule = Callable[[Sequence[int], float, float, int], tuple[int, ...] | _Missing]

_RULES: Final[dict[Kind, _Rule]] = {
    "long": _long,
    "vertical": _vertical,
    "fly": _fly,
    "broken_wing": _broken_wing,
    "unbalanced": _unbalanced,
}
