"""Levels, swings and ICT structures on whole columns, written from the spec's §1 and §2 (causal)."""

import math
from typing import Any

from tests.twins.tape import Tape

NAN = math.nan
NAMES = ("asia_high", "asia_low", "london_high", "london_low", "day_high", "day_low")


def session(minute: int) -> str:
    """Spec §1: asia 18:00-03:00, london 03:00-09:30, ny 09:30-16:00, other 16:00-18:00."""
    if minute >= 1080 or minute < 180:
        return "asia"
    if minute < 570:
        return "london"
    return "ny" if minute < 960 else "other"


def _top(values: list[float]) -> float:
    return max((x for x in values if not math.isnan(x)), default=NAN)


def _bottom(values: list[float]) -> float:
    return min((x for x in values if not math.isnan(x)), default=NAN)


def levels(t: Tape) -> dict[str, list[float]]:
    """Asia from 03:00, London from 09:30, both until 18:00; `day_*` = last complete regular session."""
    by: dict[tuple[int, str], list[int]] = {}
    regular: dict[int, list[int]] = {}
    for i in range(len(t)):
        by.setdefault((t.day[i], session(t.minute[i])), []).append(i)
        if 570 <= t.minute[i] < t.close_minute[i]:
            regular.setdefault(t.day[i], []).append(i)
    extremes = {
        key: (_top([t.high[i] for i in where]), _bottom([t.low[i] for i in where]))
        for key, where in by.items()
    }
    none = (NAN, NAN)
    out: dict[str, list[float]] = {name: [] for name in NAMES}
    for i in range(len(t)):
        asia = extremes.get((t.day[i], "asia"), none) if 180 <= t.minute[i] < 1080 else none
        london = extremes.get((t.day[i], "london"), none) if 570 <= t.minute[i] < 1080 else none
        for side, a, b in (("high", asia[0], london[0]), ("low", asia[1], london[1])):
            out[f"asia_{side}"].append(a)
            out[f"london_{side}"].append(b)
    known = none
    ended = iter(sorted((where[-1], where) for where in regular.values()))
    following: Any = next(ended, None)
    for i in range(len(t)):
        if following is not None and following[0] < i:
            where = following[1]
            highs, lows = _top([t.high[j] for j in where]), _bottom([t.low[j] for j in where])
            known = (highs, lows) if not math.isnan(highs) else known
            following = next(ended, None)
        out["day_high"].append(known[0])
        out["day_low"].append(known[1])
    return out


def swings(high: list[float], low: list[float]) -> tuple[list[int], list[float], list[float]]:
    """What each bar confirmed (1 high, 2 low) and the newest confirmed swing high and low."""
    n = len(high)
    tops = [
        m for m in range(2, n - 2) if all(high[m] > high[m + d] for d in (-2, -1, 1, 2))
    ]  # known at m + 2
    bottoms = [m for m in range(2, n - 2) if all(low[m] < low[m + d] for d in (-2, -1, 1, 2))]
    highs = {m + 2: high[m] for m in tops}
    lows = {m + 2: low[m] for m in bottoms}
    confirmed = [(i in highs) + 2 * (i in lows) for i in range(n)]
    return confirmed, _carry(highs, n), _carry(lows, n)


def _carry(known: dict[int, float], n: int) -> list[float]:
    out, value = [], NAN
    for i in range(n):
        value = known.get(i, value)
        out.append(value)
    return out


def sweeps(t: Tape, lv: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    """The swept low (bullish) and the swept high (bearish) of each bar, NaN if none; Asia before London."""
    lows, highs = [], []
    for i in range(len(t)):
        below = [lv[name][i] for name in ("asia_low", "london_low")]
        above = [lv[name][i] for name in ("asia_high", "london_high")]
        lows.append(next((x for x in below if t.low[i] < x < t.close[i]), NAN))
        highs.append(next((x for x in above if t.close[i] < x < t.high[i]), NAN))
    return lows, highs


def displacement(t: Tape, atr: list[float], size: float, *, percent: bool) -> list[int]:
    """+1 / -1: body beyond size × ATR (or × close) and close past the previous bar's extreme."""
    out = [0] * min(1, len(t))
    for i in range(1, len(t)):
        need = size * (t.close[i] if percent else atr[i])
        if t.close[i] > t.open[i] and t.close[i] - t.open[i] > need and t.close[i] > t.high[i - 1]:
            out.append(1)
        elif t.close[i] < t.open[i] and t.open[i] - t.close[i] > need and t.close[i] < t.low[i - 1]:
            out.append(-1)
        else:
            out.append(0)
    return out


def gaps(t: Tape) -> list[tuple[int, float, float]]:
    """(+1, high[n-2], low[n]) or (-1, high[n], low[n-2]); (0, NaN, NaN) without a gap."""
    out: list[tuple[int, float, float]] = []
    for n in range(len(t)):
        if n >= 2 and t.low[n] > t.high[n - 2]:
            out.append((1, t.high[n - 2], t.low[n]))
        elif n >= 2 and t.high[n] < t.low[n - 2]:
            out.append((-1, t.high[n], t.low[n - 2]))
        else:
            out.append((0, NAN, NAN))
    return out


def blocks(t: Tape, moves: list[int]) -> list[tuple[int, float, float]]:
    """On a displacement bar: low and high of the newest opposite candle among the 19 bars before."""
    out: list[tuple[int, float, float]] = []
    for i, move in enumerate(moves):
        colours = [(j, t.close[j] - t.open[j]) for j in range(max(0, i - 19), i)]
        opposite = [j for j, colour in colours if (colour < 0 if move > 0 else colour > 0)]
        if move and opposite:
            out.append((move, t.low[opposite[-1]], t.high[opposite[-1]]))
        else:
            out.append((0, NAN, NAN))
    return out


def shifts(close: list[float], highs: list[float], lows: list[float], *, carried: bool) -> list[int]:
    """Bits 1 up, 2 down: close beyond the newest confirmed swing while structure does not point there."""
    out: list[int] = []
    state = "neutral"
    for c, top, bottom in zip(close, highs, lows, strict=True):
        now = state if carried else "neutral"
        bits = 0
        if c > top and state != "bullish":
            bits, now = 1, "bullish"
        if c < bottom and state != "bearish":
            bits, now = bits + 2, "bearish"
        state = now
        out.append(bits)
    return out


def confluence(sweep: list[bool], move: list[bool], shift: list[bool], window: int = 5) -> list[int]:
    """Age of the oldest sweep each bar confirms, -1 if none (spec §2, causal).

    Looks forward from every sweep for the first displacement and the first shift at most five bars
    later; the later of the two is the bar at which the confluence is known.
    """
    out = [-1] * len(sweep)
    for i in range(len(sweep)):
        reach = range(i, min(i + window + 1, len(sweep)))
        first_move = next((j for j in reach if move[j]), None)
        first_shift = next((j for j in reach if shift[j]), None)
        if sweep[i] and first_move is not None and first_shift is not None:
            at = max(first_move, first_shift)
            out[at] = max(out[at], at - i)
    return out


WEIGHTS = {"sweep": 0.25, "displacement": 0.25, "mss": 0.20, "gap": 0.15, "block": 0.15}


def score(present: dict[str, list[bool]]) -> list[float]:
    """Sum of the weights of what is present at bars t-10…t, added in the spec's order."""
    out = []
    for t in range(len(present["sweep"])):
        total = 0.0
        for name, weight in WEIGHTS.items():
            if any(present[name][max(0, t - 10) : t + 1]):
                total += weight
        out.append(total)
    return out
