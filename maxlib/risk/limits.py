"""The risk manager: what may be lost, and how much one position may cost.

A config and a state of whole numbers; every function takes a state and returns
one. Losses are net of fees. What an open position has lost counts at once, what
it has won counts when it is closed: a gain on paper excuses no loss.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from maxlib.core.config import Config
from maxlib.market.calendar import from_ordinal
from maxlib.risk.codes import GuardCode
from maxlib.risk.money import part, percent, reaches
from maxlib.risk.sizing import Denial

BookName = Literal["conservative", "aggressive"]


class Book(Config):
    """One of the two books.

    Attributes
    ----------
    risk_fraction : share of the account that one position may cost; the documents say 2 to 5 %,
        less may be chosen and more may not
    max_positions : open at once in this book
    """

    risk_fraction: float = Field(default=0.05, gt=0.0, le=0.05)
    max_positions: int = Field(default=1, ge=1, le=50)


class LimitsConfig(Config):
    """Limits of losses and sizes.

    Attributes
    ----------
    conservative, aggressive : the books
    max_positions : open at once in both books together
    daily_loss_usd : no entry from this loss of the trading day on
    total_loss_usd : no entry while equity is this far below its peak
    weekly_loss, monthly_loss : shares of the balance that the week or month began with
    soft_drawdown : fall from the peak of equity from which sizes are halved
    hard_drawdown : fall from the peak of equity from which nothing is opened
    account_cap_usd : of a larger account only this much counts for sizes
    max_size_usd : most that one position may cost, whatever the account
    """

    conservative: Book = Book()
    aggressive: Book = Book()
    max_positions: int = Field(default=1, ge=1, le=50)
    daily_loss_usd: int = Field(default=500, ge=1)
    total_loss_usd: int = Field(default=1_000, ge=1)
    weekly_loss: float = Field(default=0.05, gt=0.0, le=1.0)
    monthly_loss: float = Field(default=0.10, gt=0.0, le=1.0)
    soft_drawdown: float = Field(default=0.06, gt=0.0, le=1.0)
    hard_drawdown: float = Field(default=0.10, gt=0.0, le=1.0)
    account_cap_usd: int = Field(default=100_000, ge=1)
    max_size_usd: int = Field(default=1_000, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> LimitsConfig:
        for low, high in (
            ("soft_drawdown", "hard_drawdown"),
            ("weekly_loss", "monthly_loss"),
            ("daily_loss_usd", "total_loss_usd"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low):g} is above {high} {getattr(self, high):g}")
        return self

    def book(self, name: BookName) -> Book:
        """A book by its name."""
        return self.conservative if name == "conservative" else self.aggressive


class RiskState(NamedTuple):
    """Money in cents and the periods it belongs to; as JSON a list of whole numbers.

    balance : of closed trades; open : profit or loss of what is open, at the last mark
    peak : highest equity that was seen (or set by `reset_peak`)
    day, week, month : trading day (days since 1970), its week (from Monday) and month (from year 0)
    of_day, of_week, of_month : profit or loss of the trades closed in them
    """

    balance: int
    open: int
    peak: int
    day: int
    week: int
    month: int
    of_day: int = 0
    of_week: int = 0
    of_month: int = 0

    @property
    def equity(self) -> int:
        """Balance and what is open."""
        return self.balance + self.open

    @property
    def drawdown(self) -> int:
        """Cents below the peak."""
        return self.peak - self.equity

    def loss(self, closed: int) -> int:
        """Loss of a period with that result of closed trades, open losses included; 0 if there is none."""
        return max(0, -(closed + min(0, self.open)))


def begin(account_cents: int, day: int) -> RiskState:
    """The state of an account before its first trade; `day` is the trading day, as `BAR.day`."""
    return RiskState(account_cents, 0, account_cents, day, *_periods(day))


def _periods(day: int) -> tuple[int, int]:
    date = from_ordinal(day)
    return (day + 3) // 7, date.year * 12 + date.month - 1  # 1970-01-01 was a Thursday


def rolled(state: RiskState, day: int) -> RiskState:
    """The state on trading day `day`: what belongs to a day, week or month that is over is cleared.

    An earlier day changes nothing: a clock that is set back brings no loss back to zero.
    """
    if day <= state.day:
        return state
    week, month = _periods(day)
    return state._replace(
        day=day, week=week, month=month, of_day=0,
        of_week=state.of_week if week == state.week else 0,
        of_month=state.of_month if month == state.month else 0,
    )  # fmt: skip


def marked(state: RiskState, equity_cents: int) -> RiskState:
    """The state after a look at equity: cash and what is open, at its mark or at cost."""
    return state._replace(open=equity_cents - state.balance, peak=max(state.peak, equity_cents))


def closed(state: RiskState, pnl_cents: int, equity_cents: int) -> RiskState:
    """The state after a trade was closed; `pnl_cents` net of all its fees, equity as it is then."""
    return marked(
        state._replace(
            balance=state.balance + pnl_cents, of_day=state.of_day + pnl_cents,
            of_week=state.of_week + pnl_cents, of_month=state.of_month + pnl_cents,
        ),
        equity_cents,
    )  # fmt: skip


def reset_peak(state: RiskState) -> RiskState:
    """A user has looked at the drawdown and lets trading go on: it counts from here.

    The program never does this by itself, and a restart does not either.
    """
    return state._replace(peak=state.equity)


def base_cents(config: LimitsConfig, state: RiskState) -> int:
    """What shares for sizes are taken of: the balance or, if it is less, equity, up to the account's cap."""
    return min(state.balance, state.equity, config.account_cap_usd * 100)


def stopped(config: LimitsConfig, state: RiskState) -> Denial | None:
    """The first limit of losses that is reached, None if none is."""
    day = state.loss(state.of_day)
    if day >= config.daily_loss_usd * 100:
        return Denial("DAILY_LOSS_USD", config.daily_loss_usd, day / 100)
    periods: tuple[tuple[GuardCode, int, float], ...] = (
        ("WEEKLY_LOSS", state.of_week, config.weekly_loss),
        ("MONTHLY_LOSS", state.of_month, config.monthly_loss),
    )
    for code, result, share in periods:
        began = state.balance - result
        if reaches(state.loss(result), began, share):
            return Denial(code, 100 * share, percent(state.loss(result), began))
    if state.drawdown >= config.total_loss_usd * 100:
        return Denial("TOTAL_LOSS", config.total_loss_usd, state.drawdown / 100)
    if reaches(state.drawdown, state.peak, config.hard_drawdown):
        return Denial("HARD_DRAWDOWN", 100 * config.hard_drawdown, percent(state.drawdown, state.peak))
    return None


def crowded(
    config: LimitsConfig, *, book: BookName, open_positions: int, book_positions: int
) -> Denial | None:
    """The limit of positions that is reached, None if neither is; pending and unknown orders count."""
    if open_positions >= config.max_positions:
        return Denial("MAX_POSITIONS", config.max_positions, open_positions)
    most = config.book(book).max_positions
    return Denial("BOOK_POSITIONS", most, book_positions) if book_positions >= most else None


def factor(config: LimitsConfig, state: RiskState) -> float:
    """Share of the usual size: 1, or a half from the soft drawdown on."""
    return 0.5 if reaches(state.drawdown, state.peak, config.soft_drawdown) else 1.0


class Cap(NamedTuple):
    """Most that one position may cost, and the limit that says so."""

    cents: int
    code: GuardCode


def cap(config: LimitsConfig, state: RiskState, book: BookName, fraction: float = 1.0) -> Cap:
    """Most that one position may cost before the soft drawdown's factor; the smallest limit binds.

    Parameters
    ----------
    fraction : share of the account that the market's state allows for one position
    """
    share = min(config.book(book).risk_fraction, fraction)
    return min(
        Cap(part(base_cents(config, state), share), "TRADE_RISK"),
        Cap(config.max_size_usd * 100, "SIZE_LIMIT"),
    )


class Granted(NamedTuple):
    """Go ahead: `factor` of the usual size, at most `budget_cents` (the factor is in it)."""

    factor: float
    budget_cents: int


def decide(
    config: LimitsConfig, state: RiskState, *, book: BookName, cost_cents: int,
    open_positions: int, book_positions: int, fraction: float = 1.0,
) -> Granted | Denial:  # fmt: skip
    """The risk manager's answer to a proposed cost: losses, then positions, then size.

    Parameters
    ----------
    cost_cents : of the whole position, commission of the entry included
    open_positions, book_positions : held, being opened or unknown; in all books and in this one
    fraction : see `cap`

    >>> state = begin(2_500_000, 20_000)
    >>> ask = {"book": "aggressive", "open_positions": 0, "book_positions": 0}
    >>> decide(LimitsConfig(), state, cost_cents=100_000, **ask)
    Granted(factor=1.0, budget_cents=100000)
    >>> decide(LimitsConfig(), state, cost_cents=100_001, **ask)
    Denial(code='SIZE_LIMIT', limit=1000.0, actual=1000.01)
    """
    denial = stopped(config, state) or crowded(
        config, book=book, open_positions=open_positions, book_positions=book_positions
    )
    if denial is not None:
        return denial
    most, share = cap(config, state, book, fraction), factor(config, state)
    if cost_cents > most.cents:
        return Denial(most.code, most.cents / 100, cost_cents / 100)
    budget = part(most.cents, share)
    if cost_cents > budget:
        return Denial("SOFT_DRAWDOWN", budget / 100, cost_cents / 100)
    return Granted(share, budget)
