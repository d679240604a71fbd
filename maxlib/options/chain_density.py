"""The risk-neutral density that a chain's quotes imply, at one moment and for one expiry.

Breeden and Litzenberger (1978): the second derivative of call prices in the strike
is the discounted density. Differencing quotes twice makes noise of them, so the
density itself is fitted: straight lines between nodes, never negative, with mass 1
and the forward as mean, as smooth as the quotes allow. Only options out of the
money count; those in the money are wide and, being American, worth a little more.

The fit minimises

    λ ∫ f'''² / p  +  Σ h(distance of the fitted price from the mid, in half-spreads)

with p a fat-tailed bell, so that a wiggle in the tail costs as much as one of the
same proportion at the centre. h is 0 within the spread, then a parabola, then a
line, so that stale quotes cannot bend the curve. It is convex; a barrier method
(Boyd and Vandenberghe, "Convex Optimization", ch. 10 and 11) finds the one minimum.

Meant for hours to months. Where the deviation is over a third of the forward, the
floor at a price of 0 is too near for this smoothness, and `inside` falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.market.quotes import Chain
from maxlib.options.density import Piecewise
from maxlib.options.forward import forward as parity_forward

Floats = NDArray[np.float64]

SMOOTHNESS: Final = (1.0, 0.1, 0.01, 0.001)
"""λ, smoothest first; the first that fits about as many quotes as any of them is taken."""
FIT_LOSS: Final = 0.05
"""The share of quotes that a smoother fit may lose against the best one."""

MIN_QUOTES: Final = 3
"""Options with a bid that each side of the forward needs."""

_SPACING, _CENTRE = 0.06, 1.5  # nodes: z = _CENTRE × sinh(i × _SPACING), 0.09 apart at the centre
_OUTLIER = 3.0  # half-spreads outside the spread from which on a quote's pull stops growing
_MID_PULL = 1e-3  # within the spread the mid is preferred, but only just
_BARRIERS = tuple(10.0**-e for e in range(2, 8))
_STEPS = 50  # Newton steps a barrier; 8 to 15 are usual


class NoDensity(NamedTuple):
    """Why the quotes give no density: the code and what was there.

    NO_FORWARD : no strike has both a call and a put with bid and ask, or they say less than 0
    TOO_FEW : `found` options with a bid on the thinner side of the forward, under MIN_QUOTES
    """

    code: Literal["NO_FORWARD", "TOO_FEW"]
    found: int


@dataclass(frozen=True)
class ChainDensity:
    """A density read off quotes, and how far it can be trusted.

    Attributes
    ----------
    density : its mean is the parity forward, to `density.MASS_TOLERANCE` of it
    quotes : options out of the money that were fitted
    inside : share of them whose fitted price lies within bid and ask
    quoted : lowest and highest strike with a bid, dollars; beyond these the density is extrapolated
    tails : probability extrapolated below and above
    smoothness : λ
    """

    density: Piecewise
    quotes: int
    inside: float
    quoted: tuple[float, float]
    tails: tuple[float, float]
    smoothness: float


class _Quotes(NamedTuple):
    """Out-of-the-money options in units of the deviation around the forward."""

    strike: Floats
    bid: Floats
    ask: Floats
    call: NDArray[np.bool_]


def chain_density(chain: Chain, discount: float = 1.0) -> ChainDensity | NoDensity:
    """The density implied by the quotes of one moment and one expiry; known at that moment.

    Parameters
    ----------
    chain : quotes of one `ts` and one expiry, blemishes included
    discount : value now of a dollar at expiry

    Raises
    ------
    ValueError
        If the chain holds more than one moment or expiry.
    """
    if not len(chain.rows):
        return NoDensity("NO_FORWARD", 0)
    forward = parity_forward(chain).value
    if forward is None or forward <= 0.0:
        return NoDensity("NO_FORWARD", 0)
    rows = chain.rows
    call, strike = rows["right"] > 0, rows["strike"]
    bid, ask = np.nan_to_num(rows["bid"]) / discount, rows["ask"] / discount
    usable = (call == (strike >= forward)) & (bid < ask) & (ask < math.inf)
    live = usable & (bid > 0.0)
    found = int(min((live & call).sum(), (live & ~call).sum()))
    if found < MIN_QUOTES:
        return NoDensity("TOO_FEW", found)
    quoted = float(strike[live].min()), float(strike[live].max())
    scale = _deviation(forward, strike[live], ((bid + ask) / 2)[live])
    # A deviation more than is quoted, five at least, and never below a price of 0.
    low = max(-forward / scale, min(-5.0, (quoted[0] - forward) / scale - 1.0))
    high = max(5.0, (quoted[1] - forward) / scale + 1.0)
    z = (strike - forward) / scale
    usable &= (low < z) & (z < high)
    quotes = _Quotes(z[usable], bid[usable] / scale, ask[usable] / scale, call[usable])
    nodes = _nodes(low, high)
    heights, inside, smoothness = _smoothest(nodes, quotes)
    density = Piecewise(forward + scale * nodes, heights / scale, forward, discount)
    tails = density.below(quoted[0])[0], 1.0 - density.below(quoted[1])[0]
    return ChainDensity(density, len(quotes.strike), inside, quoted, tails, smoothness)


def _deviation(forward: float, strike: Floats, mid: Floats) -> float:
    """A rough standard deviation: √(π/2) × the straddle at the forward."""
    i = int(np.argmin(np.abs(strike - forward)))
    return math.sqrt(math.pi / 2) * float(2 * mid[i] + abs(strike[i] - forward))


def _nodes(low: float, high: float) -> Floats:
    first, last = math.asinh(low / _CENTRE), math.asinh(high / _CENTRE)
    return _CENTRE * np.sinh(np.linspace(first, last, 1 + math.ceil((last - first) / _SPACING)))


def _smoothest(nodes: Floats, quotes: _Quotes) -> tuple[Floats, float, float]:
    """Heights at the nodes, the share of quotes fitted, and λ: the smoothest fit that is good enough."""
    prices = _prices(nodes, quotes)
    half, mid = (quotes.ask - quotes.bid) / 2, (quotes.bid + quotes.ask) / 2
    fits = []
    for smoothness in SMOOTHNESS:
        heights = _fit(nodes, prices / half[:, None], mid / half, smoothness)
        inside = float(np.mean(np.abs(prices @ heights - mid) <= half))
        fits.append((np.concatenate(([0.0], heights, [0.0])), inside, smoothness))
    enough = max(inside for _, inside, _ in fits) - FIT_LOSS
    return next(fit for fit in fits if fit[1] >= enough)


def _prices(nodes: Floats, quotes: _Quotes) -> Floats:
    """Undiscounted price of each option under a unit height at each inner node: (quotes, nodes − 2).

    A height spreads as a hat to its neighbours. The hat's second derivative is three
    spikes, so its price is three cubes.
    """
    sign = np.where(quotes.call, 1.0, -1.0)[:, None]
    cubes = np.maximum(sign * (nodes[None, :] - quotes.strike[:, None]), 0.0) ** 3 / 6
    left, right = 1.0 / np.diff(nodes)[:-1], 1.0 / np.diff(nodes)[1:]
    prices: Floats = cubes[:, :-2] * left - cubes[:, 1:-1] * (left + right) + cubes[:, 2:] * right
    return prices


def _roughness(nodes: Floats) -> Floats:
    """The matrix R with q'Rq = ∫ f'''² / p for heights q at the inner nodes."""
    width, inner = np.diff(nodes), nodes[1:-1]
    n = len(inner)
    second = np.zeros((n, n + 2))
    rows = np.arange(n)
    second[rows, rows] = 2 / (width[:-1] * (width[:-1] + width[1:]))
    second[rows, rows + 1] = -2 / (width[:-1] * width[1:])
    second[rows, rows + 2] = 2 / (width[1:] * (width[:-1] + width[1:]))
    third = np.diff(second[:, 1:-1], axis=0) / np.diff(inner)[:, None]
    weight = np.diff(inner) / _bell((inner[1:] + inner[:-1]) / 2)
    rough: Floats = (third.T * weight) @ third
    return rough


def _bell(z: Floats) -> Floats:
    """Student's t with 3 degrees of freedom."""
    bell: Floats = 0.3675526 * (1 + z**2 / 3) ** -2
    return bell


def _fit(nodes: Floats, prices: Floats, mids: Floats, smoothness: float) -> Floats:
    """Positive heights with mass 1 and mean 0 that minimise roughness and misfit; prices in half-spreads."""
    inner = nodes[1:-1]
    area = (nodes[2:] - nodes[:-2]) / 2
    totals = np.vstack((area, area * (nodes[:-2] + inner + nodes[2:]) / 3))  # of hats: mass, mean
    rough = 2 * smoothness * _roughness(nodes)
    heights = _bell(inner)  # mass and mean are not right yet; the first full step sets them
    for barrier in _BARRIERS:
        for _ in range(_STEPS):
            pull, stiffness = _misfit(prices @ heights - mids)
            slope = rough @ heights + prices.T @ pull - barrier / heights
            curve = rough + (prices.T * stiffness) @ prices + np.diag(barrier / heights**2)
            move = _newton(curve, slope, totals, totals @ heights)
            shrinking = move < 0.0
            room = np.min(-heights[shrinking] / move[shrinking], initial=math.inf)
            step = min(1.0, 0.95 * float(room))  # never onto the wall at 0
            heights = heights + step * move
            if step == 1.0 and np.max(np.abs(move) / heights) < 1e-3:
                break
    return _tilted(heights, inner, totals)


def _misfit(off: Floats) -> tuple[Floats, Floats]:
    """Slope and curvature of h at distances from the mid in half-spreads.

    Beyond _OUTLIER the curvature is that of the parabola which touches h there, since h's own is 0.
    """
    outside = np.maximum(np.abs(off) - 1.0, 0.0)
    pull = np.sign(off) * np.minimum(outside, _OUTLIER) + _MID_PULL * off
    stiffness = np.minimum(1.0, _OUTLIER / np.maximum(outside, 1e-12)) * (outside > 0.0) + _MID_PULL
    return pull, stiffness


def _newton(curve: Floats, slope: Floats, totals: Floats, now: Floats) -> Floats:
    """The step to the minimum of the parabola among heights with mass 1 and mean 0."""
    n = len(slope)
    # Scaled to ones on the diagonal: heights span ten powers of ten.
    scale = np.concatenate((1.0 / np.sqrt(np.diag(curve)), (1.0, 1.0)))
    system = np.block([[curve, totals.T], [totals, np.zeros((2, 2))]]) * scale[:, None] * scale
    step: Floats = (
        np.linalg.solve(system, np.concatenate((-slope, (1.0 - now[0], -now[1]))) * scale)[:n] * scale[:n]
    )
    return step


def _tilted(heights: Floats, inner: Floats, totals: Floats) -> Floats:
    """The heights times a straight line, all but 1, that takes the last rounding out of mass and mean."""
    basis = np.vstack((np.ones_like(inner), inner))
    a, b = np.linalg.solve((totals * heights) @ basis.T, (1.0, 0.0))
    tilted: Floats = heights * (a + b * inner)
    return tilted
