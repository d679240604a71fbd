"""The guard: regimes, risk manager and safety manager behind one config and one state.

It stands between a signal and an order, on every path. The documents behind spec
§4, §7 and §8 give several numbers for one thing. They are reconciled by one rule:
every limit is enforced, so the strictest one that applies decides. Sizes are made
to fit before they are validated: a limit shrinks a trade, and only what can't be
shrunk is denied. What the rule comes to with the defaults:

- Cost of a position: the least of 1 % and $500 (validation 9), the book's 5 %, the
  state's 0.75 to 2 % and the absolute $1,000; halved in the soft drawdown. On
  $25,000 that is $250. For the seed's 5 % a book, set `safety.position_fraction` to
  0.05, `safety.exposure_fraction` to 0.10, `safety.premium_usd` to 1,000 and
  `regimes.normal.risk_fraction` to 0.05.
- Premium cap: $500, which is 2 % of $25,000; the paper document's $200 may be chosen
  as `safety.premium_usd`. Validation 12 warns above the $500 that validation 9
  blocks, so it can speak only when `safety.premium_usd` is raised.
- Loss of a day: the least of 2 % and $2,000 (validation 4) and $500 (risk manager).
- Fall from the peak: $1,000, 10 % (both until a user resets the peak), 8 % (the
  breaker), 6 % (halves sizes). Above $10,000 the $1,000 come before the 10 %, above
  $16,667 before the 6 %.
- Positions: 3 (validation 5), 3, 2, 1 or 0 (the state: the smaller one of §4 and §7),
  1 in all books (risk manager), so 1 until `limits.max_positions` is raised.
- Account cap: of a larger account $100,000 count for sizes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from maxlib.core.config import Config
from maxlib.regimes.router import (
    START,
    RegimeConfig,
    RegimeRule,
    Route,
    Transition,
    Volatility,
    route,
    route_in,
)
from maxlib.risk import limits, safety
from maxlib.risk.breakers import active
from maxlib.risk.codes import GuardCode
from maxlib.risk.health import Vitals
from maxlib.risk.limits import BookName, LimitsConfig, RiskState
from maxlib.risk.money import part
from maxlib.risk.safety import Ask, SafetyConfig, SafetyEvent, SafetyState, Severity
from maxlib.risk.sizing import Denial


class GuardConfig(Config):
    """All limits.

    Attributes
    ----------
    limits : losses, sizes and books
    safety : validations, breakers and health
    regimes : states of volatility; null = there is no router, every strategy may trade at any time
    book : whose positions a machine's are
    both : the other book acts on each signal as well, after this one
    """

    limits: LimitsConfig = LimitsConfig()
    safety: SafetyConfig = SafetyConfig()
    regimes: RegimeConfig | None = RegimeConfig()
    book: BookName = "conservative"
    both: bool = False


class Fitted(NamedTuple):
    """Go ahead with this many units; the warnings are recorded and block nothing."""

    quantity: int
    warnings: tuple[Denial, ...]


class Guard:
    """Config and states; takes what happens, answers what is asked. No clock, disk or randomness.

    Parameters
    ----------
    account_cents, day : equity to begin with, and the trading day (as `BAR.day`)
    """

    def __init__(self, config: GuardConfig, account_cents: int, day: int) -> None:
        self.config = config
        self.account: RiskState = limits.begin(account_cents, day)
        self.safety: SafetyState = SafetyState(day)
        self.route: Route = START
        self._told = 0

    # --- what happens

    def mark(self, ts: int, day: int, equity_cents: int) -> None:
        """A bar is complete: its trading day, and equity at the marks (or at cost) after it."""
        if day > self.account.day:
            self.account = limits.rolled(self.account, day)
            self.safety = safety.new_day(self.safety, ts, day)
        if equity_cents != self.account.equity:
            self.account = limits.marked(self.account, equity_cents)

    def volatility(self, at: int, seen: Volatility) -> Transition | None:
        """A reading of volatility; the transition if the state changed. Without a router nothing does."""
        if self.config.regimes is None:
            return None
        self.route, change = route(self.config.regimes, self.route, at, seen)
        if change is not None:
            message = f"{change.old} to {change.new}: {change.why}"
            severity: Severity = "warning" if change.close_all else "info"
            self.safety = safety.noted(self.safety, at, "regime", severity, message, **change._asdict())
        return change

    def entered(self, ts: int, strategy: str, book: BookName) -> None:
        """An order that opens a position is sent."""
        self.safety = safety.entered(self.safety, ts, strategy, book)

    def closed(self, ts: int, pnl_cents: int, equity_cents: int) -> None:
        """A trade is closed; its profit or loss after fees, and equity after it."""
        self.account = limits.closed(self.account, pnl_cents, equity_cents)
        self.safety = safety.traded(self.config.safety, self.safety, ts, pnl_cents, self.account)

    def error(self, ts: int, what: str) -> None:
        """An error of feed, broker or program."""
        self.safety = safety.failed(self.config.safety, self.safety, ts, what, self.account)

    def health(self, vitals: Vitals) -> None:
        """The periodic health checks were made."""
        self.safety = safety.checked(self.config.safety, self.safety, vitals)

    def hold(self, ts: int, why: str) -> None:
        """Hold entries back until `release`, over restarts too."""
        self.safety = safety.held(self.safety, ts, why)

    def release(self, ts: int) -> None:
        """End the hold."""
        self.safety = safety.released(self.safety, ts)

    def reset_peak(self, ts: int) -> None:
        """A user lets trading go on after the total loss or the hard drawdown: they count from here."""
        before = self.account
        self.account = limits.reset_peak(before)
        said = {"old": before.peak / 100, "new": self.account.peak / 100}
        self.safety = safety.noted(self.safety, ts, "peak_reset", "warning", "the peak was reset", **said)

    def refused(self, ts: int, denial: Denial, strategy: str) -> None:
        """Count and record a denial that another part gave."""
        self.safety = safety.denied(self.safety, ts, denial, strategy)

    # --- what is asked

    @property
    def rule(self) -> RegimeRule | None:
        """What the market's state lets through; None = there is no router."""
        regimes = self.config.regimes
        return None if regimes is None else regimes.rule(self.route.regime)

    def admit(self, ask: Ask) -> Denial | None:
        """Whether an entry may be thought of, before anything is quoted; a denial is counted and recorded.

        In this order: the market's state, validations 1 to 8, limits of losses, positions. Just
        before the order is sent, `recalled` is asked.
        """
        self.safety = safety.without_expired(self.safety, ask.ts)
        rule = self.rule
        denial = (
            self._regime_denial(rule, ask.strategy)
            or safety.entry_denial(self.config.safety, self.safety, ask, self.account, rule)
            or limits.stopped(self.config.limits, self.account)
            or limits.crowded(
                self.config.limits, book=ask.book,
                open_positions=ask.open_positions, book_positions=ask.book_positions,
            )
        )  # fmt: skip
        if denial is not None:
            self.refused(ask.ts, denial, ask.strategy)
        return denial

    def recalled(self, ask: Ask) -> Denial | None:
        """Why an entry that was admitted must not be sent any more; nothing is counted by it.

        The market's state, validations 1 to 4 and the limits of losses. The counts of validations 5 to 8
        hold the entry itself by now.
        """
        return (
            self._regime_denial(self.rule, ask.strategy)
            or safety.standing_denial(self.config.safety, self.safety, ask, self.account)
            or limits.stopped(self.config.limits, self.account)
        )

    def _regime_denial(self, rule: RegimeRule | None, strategy: str) -> Denial | None:
        if rule is None or strategy in rule.strategies:
            return None
        verdict = self.route.verdict
        code: GuardCode = "REGIME_STRATEGY" if rule.strategies else "REGIME_PAUSED"
        return Denial(code, verdict.limit, verdict.actual)

    def fit(
        self, ask: Ask, unit_cents: int, quantity: int, reward_risk: float | None = None
    ) -> Fitted | Denial:
        """How many of an admitted entry's units all limits let pass; a denial is counted and recorded.

        In this order: validations 9 and 10 and the risk manager's size for one unit, then the
        soft drawdown, then the warnings of 11 and 12.

        Parameters
        ----------
        unit_cents : what a unit can cost at most, commission of the entry included; above 0
        quantity : units that the sizing before asked for, at least 1
        reward_risk : of the package, None = not known
        """
        answer = self._fit(ask, unit_cents, quantity, reward_risk)
        if isinstance(answer, Denial):
            self.refused(ask.ts, answer, ask.strategy)
            return answer
        for warning in answer.warnings:
            self.safety = safety.denied(self.safety, ask.ts, warning, ask.strategy, warning=True)
        return answer

    def _fit(self, ask: Ask, unit: int, quantity: int, reward_risk: float | None) -> Fitted | Denial:
        rules, account = self.config.safety, self.account
        base = limits.base_cents(self.config.limits, account)
        denial = safety.size_denial(rules, ask, unit, base)
        if denial is not None:
            return denial
        rule = self.rule
        cap = limits.cap(self.config.limits, account, ask.book, rule.risk_fraction if rule else 1.0)
        if unit > cap.cents:
            return Denial(cap.code, cap.cents / 100, unit / 100)
        room = part(base, rules.exposure_fraction) - ask.exposure_cents
        budget = min(safety.position_cents(rules, base), room, cap.cents)
        share = limits.factor(self.config.limits, account)
        units = int(min(quantity, budget // unit) * share)
        if units < 1:
            return Denial("SOFT_DRAWDOWN", part(unit, share) / 100, unit / 100)
        return Fitted(units, safety.warnings(rules, units * unit, reward_risk))

    @property
    def denials(self) -> dict[str, int]:
        """Why not traded today: denials by code."""
        return dict(self.safety.denials)

    def standing(self, ts: int) -> str:
        """What holds at `ts` in a few words: the market's state, a breaker, safe mode."""
        breaker = active(self.safety.breakers, ts)
        words = [
            "" if self.config.regimes is None else self.route.regime,
            "" if breaker is None else breaker.code,
            "SAFE_MODE" if self.safety.safe_mode else "",
        ]
        return ", ".join(filter(None, words)) or "nothing stands against entries"

    def news(self) -> tuple[SafetyEvent, ...]:
        """The events since the last call (the last 1,000 of them), for the journal and the notifier."""
        fresh = min(self.safety.ever - self._told, len(self.safety.events))
        self._told = self.safety.ever
        return self.safety.events[len(self.safety.events) - fresh :]

    # --- state

    def snapshot(self) -> dict[str, Any]:
        """All state as JSON values; `restore` continues from it, exactly."""
        return {
            "account": list(self.account), "safety": self.safety._asdict(), "route": list(self.route),
            "told": self._told,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a parsed snapshot."""
        self.account = RiskState(*state["account"])
        self.safety = safety.safety_in(state["safety"])
        self.route = route_in(state["route"])
        self._told = state["told"]
