"""Which structure to trade: the best reward to risk after costs, and why the others lost.

Called at every signal, so it is plain arithmetic on whole cents. All money here is
in cents a unit: one package, `multiplier` shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

from pydantic import Field

from maxlib.core.config import Config
from maxlib.options.density import Density, expected, probability
from maxlib.options.payoff import (
    PriceCode,
    QuoteOf,
    Unpriced,
    knees,
    largest_loss,
    premium,
    profit_intervals,
    value_at_expiry,
)
from maxlib.options.structures import BuildCode, Structure, Unbuilt

LossCode = (
    BuildCode
    | PriceCode
    | Literal[
        "OVER_DEBIT_CAP",
        "UNBOUNDED_LOSS",
        "NOTHING_AT_RISK",
        "RR_TOO_LOW",
        "NO_DENSITY",
        "NEGATIVE_EV",
        "WORSE_THAN_WINNER",
    ]
)


class SelectionConfig(Config):
    """What counts as a cost, and what is refused.

    Attributes
    ----------
    commission_cents : per contract and side
    leave : "sell" = the way out crosses every leg's quote as it is now and pays commission again;
        "expire" = the package is held to settlement, which costs nothing
    reward : "target" = what the package is worth at the target; "expected" = its expected value
    min_reward_risk : a candidate below this ratio is refused (spec §5: 1.2 in scenarios, 1.6 in the engine)
    max_debit_cents : a unit's debit may be no more; null = no cap
    positive_ev : refuse what is expected to lose, and what nothing can be expected of
    """

    commission_cents: int = Field(default=65, ge=0, le=1000)
    leave: Literal["sell", "expire"] = "sell"
    reward: Literal["target", "expected"] = "target"
    min_reward_risk: float = Field(default=1.2, ge=0.0, le=100.0)
    max_debit_cents: int | None = Field(default=None, ge=1)
    positive_ev: bool = False


class Figures(NamedTuple):
    """A priced candidate, in cents a unit.

    debit_cents : at the side of the quote that hurts; below 0 it is a credit
    costs_cents : commissions, and the spread of the way out
    reward_cents, risk_cents : after costs; the risk is None without bound
    reward_risk : None where the risk is unbounded or none
    ev_cents, pop : expected value, and probability of more than nothing, held to expiry and after
        costs; None without a density
    """

    debit_cents: int
    costs_cents: int
    reward_cents: float
    risk_cents: int | None
    reward_risk: float | None
    ev_cents: float | None
    pop: float | None


class Loss(NamedTuple):
    """Why a candidate was not chosen: the code, the limit and what was there instead.

    For a strike or quote that lacks, `actual` is the strike in dollars and `limit` 0.
    """

    code: LossCode
    limit: float
    actual: float


class Rank(NamedTuple):
    """One candidate: its figures if it could be priced, its loss if it was not chosen."""

    candidate: Structure | Unbuilt
    figures: Figures | None
    loss: Loss | None

    @property
    def sentence(self) -> str:
        """The candidate and its fate, for people."""
        name = self.candidate.label if isinstance(self.candidate, Structure) else self.candidate.kind
        if self.loss is None:
            return f"{name}: chosen"
        return f"{name}: {_SENTENCES[self.loss.code].format(limit=self.loss.limit, actual=self.loss.actual)}"


class Selection(NamedTuple):
    """The choice. `ranked`: the winner, the runners-up from best to worst, then the refused as listed."""

    chosen: Structure | None
    ranked: tuple[Rank, ...]


def select(
    candidates: Iterable[Structure | Unbuilt],
    quote_of: QuoteOf,
    target: float,
    config: SelectionConfig,
    *,
    density: Density | None = None,
    worth: Callable[[Structure], float] | None = None,
    multiplier: int = 100,
) -> Selection:
    """Choose among candidates at the quotes of this moment.

    risk = largest loss at expiry + costs; reward = worth at the target − debit − costs.
    The largest reward / risk wins; of equals, the first listed (spec §5).

    Parameters
    ----------
    quote_of : a contract's quote now, None = there is none
    target : where the underlying is meant to go, dollars
    density : of the underlying at expiry; needed for EV and probability of profit
    worth : what the package will be worth at the target at the time meant, dollars a share;
        None = its payoff with expiry at the target
    multiplier : shares per contract
    """
    passed: list[Rank] = []
    refused: list[Rank] = []
    for candidate in candidates:
        if isinstance(candidate, Unbuilt):
            refused.append(Rank(candidate, None, Loss(candidate.code, 0, candidate.strike_cents / 100)))
            continue
        figures = _figures(candidate, quote_of, target, config, density, worth, multiplier)
        if isinstance(figures, Unpriced):
            refused.append(Rank(candidate, None, Loss(figures.code, 0, figures.contract.strike)))
            continue
        loss = _refusal(figures, config)
        (passed if loss is None else refused).append(Rank(candidate, figures, loss))
    if not passed:
        return Selection(None, tuple(refused))
    passed.sort(key=_ratio, reverse=True)  # a stable sort: of equals the first stays first
    winner = passed[0]
    assert isinstance(winner.candidate, Structure)
    limit = _ratio(winner)
    behind = [rank._replace(loss=Loss("WORSE_THAN_WINNER", limit, _ratio(rank))) for rank in passed[1:]]
    return Selection(winner.candidate, (winner, *behind, *refused))


def _ratio(rank: Rank) -> float:
    """Reward to risk of a candidate that passed, so that it has one."""
    assert rank.figures is not None
    assert rank.figures.reward_risk is not None
    return rank.figures.reward_risk


def _figures(
    candidate: Structure,
    quote_of: QuoteOf,
    target: float,
    config: SelectionConfig,
    density: Density | None,
    worth: Callable[[Structure], float] | None,
    multiplier: int,
) -> Figures | Unpriced:
    legs = candidate.legs
    price = premium(legs, quote_of)
    if isinstance(price, Unpriced):
        return price
    costs = _costs(config, sum([abs(leg.ratio) for leg in legs]), price.spread_cents, multiplier)
    debit = multiplier * price.debit_cents
    shape = knees(legs)
    loss = largest_loss(shape, price.debit_cents)
    risk = None if loss is None else multiplier * loss + costs
    ev = pop = None
    if density is not None:
        ev = 100 * multiplier * density.discount * expected(density, legs) - debit - costs
        pop = probability(density, profit_intervals(shape, price.debit_cents + costs / multiplier))
    if config.reward == "expected":
        # Without a density nothing is expected; the refusal says so.
        reward = 0.0 if ev is None else ev
    elif worth is None:
        reward = multiplier * value_at_expiry(legs, round(100 * target)) - debit - costs
    else:
        reward = 100 * multiplier * worth(candidate) - debit - costs
    ratio = reward / risk if risk is not None and risk > 0 else None
    return Figures(debit, costs, reward, risk, ratio, ev, pop)


def _costs(config: SelectionConfig, contracts: int, spread_cents: int, multiplier: int) -> int:
    """Commissions and the spread of the way out; that of the way in is in the debit.

    The way out starts from the mid, so it crosses half of each quote, rounded up to a cent.
    """
    if config.leave == "expire":
        return contracts * config.commission_cents
    return 2 * contracts * config.commission_cents + (multiplier * spread_cents + 1) // 2


def _refusal(figures: Figures, config: SelectionConfig) -> Loss | None:
    if config.max_debit_cents is not None and figures.debit_cents > config.max_debit_cents:
        return Loss("OVER_DEBIT_CAP", config.max_debit_cents / 100, figures.debit_cents / 100)
    if figures.risk_cents is None:
        return Loss("UNBOUNDED_LOSS", 0, 0)
    if figures.reward_risk is None:
        return Loss("NOTHING_AT_RISK", 0, figures.risk_cents / 100)
    if figures.ev_cents is None and (config.positive_ev or config.reward == "expected"):
        return Loss("NO_DENSITY", 0, 0)
    if config.positive_ev and figures.ev_cents is not None and figures.ev_cents <= 0:
        return Loss("NEGATIVE_EV", 0, figures.ev_cents / 100)
    if figures.reward_risk < config.min_reward_risk:
        return Loss("RR_TOO_LOW", config.min_reward_risk, figures.reward_risk)
    return None


_SENTENCES: Final[dict[LossCode, str]] = {
    "NO_STRIKES": "no strike is listed",
    "NOTHING_BEYOND": "no strike is listed beyond {actual:g}",
    "TARGET_TOO_NEAR": "the target's strike is not beyond the strike to buy, {actual:g}",
    "WING_NOT_LISTED": "the wing at {actual:g} is not listed",
    "NO_SAFE_WING": "no wing beyond {actual:g} keeps the far tail from losing",
    "NO_QUOTE": "no quote at {actual:g}",
    "NO_ASK": "nobody offers {actual:g}",
    "NO_BID": "nobody bids for {actual:g}, which would be sold",
    "CROSSED": "the quote at {actual:g} is crossed",
    "OVER_DEBIT_CAP": "a debit of {actual:.2f} USD is over the cap of {limit:.2f}",
    "UNBOUNDED_LOSS": "the loss has no bound",
    "NOTHING_AT_RISK": "risk {actual:.2f} USD: a package that cannot lose is a wrong quote",
    "RR_TOO_LOW": "reward to risk {actual:.2f} is below the minimum of {limit:.2f}",
    "NO_DENSITY": "there is no density to expect anything by",
    "NEGATIVE_EV": "expected value {actual:.2f} USD, must be above {limit:g}",
    "WORSE_THAN_WINNER": "reward to risk {actual:.2f} against the winner's {limit:.2f}",
}
