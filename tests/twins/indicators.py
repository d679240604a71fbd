"""True range, averages, directional movement: whole columns in, whole columns out.

Written from definitions.md ("Indicators") and the spec's conventions, not from the kernels.
Where a sum's order decides the last bit, the order is said.
"""

import itertools
import math
from fractions import Fraction

NAN = math.nan


def true_range(high: list[float], low: list[float], close: list[float]) -> list[float]:
    """TR = max(H-L, |H-C₋₁|, |L-C₋₁|); the first bar's is H-L (spec, conventions)."""
    pairs = zip(high[1:], low[1:], close, strict=False)
    return [h - lo for h, lo in zip(high[:1], low, strict=False)] + [
        max(h - lo, abs(h - c), abs(lo - c)) for h, lo, c in pairs
    ]


def simple_atr(high: list[float], low: list[float], close: list[float], n: int) -> list[float]:
    """Mean of the last n true ranges, first at index n-1. Summed in the order of index mod n."""
    tr = true_range(high, low, close)
    out = [NAN] * min(n - 1, len(tr))
    for i in range(n - 1, len(tr)):
        total = 0.0
        for j in sorted(range(i - n + 1, i + 1), key=lambda j: j % n):
            total += tr[j]
        out.append(total / n)
    return out


def wilder_atr(high: list[float], low: list[float], close: list[float], n: int) -> list[float]:
    """Seed at bar n = mean of TR₁..TRₙ, then (ATR(n-1) + TR)/n; bar 0 has no true range."""
    return _wilder_mean(true_range(high, low, close), 1, n)


def _wilder_mean(values: list[float], first: int, n: int) -> list[float]:
    """Wilder's average of values[first:], seeded by the mean of n of them; NaN before."""
    out = [NAN] * min(first + n - 1, len(values))
    if len(out) == len(values):
        return out
    seed = 0.0
    for x in values[first : first + n]:
        seed += x
    out.append(seed / n)
    for x in values[first + n :]:
        out.append((out[-1] * (n - 1) + x) / n)
    return out


def _wilder_sum(values: list[float], n: int) -> list[float]:
    """Wilder's running sums S - S/n + x of values[1:], from bar n; NaN before."""
    out = [NAN] * min(n, len(values))
    if len(out) == len(values):
        return out
    total = 0.0
    for x in values[1 : n + 1]:
        total += x
    out.append(total)
    for x in values[n + 1 :]:
        out.append(out[-1] - out[-1] / n + x)
    return out


def adx(
    high: list[float], low: list[float], close: list[float], n: int
) -> tuple[list[float], list[float], list[float]]:
    """ADX, +DI and -DI. DX = 100·|+DI - -DI|/(+DI + -DI), 0/0 = 0; first ADX = mean of n DX, at bar 2n-1."""
    size = len(high)
    ups = [NAN] + [high[i] - high[i - 1] for i in range(1, size)]
    downs = [NAN] + [low[i - 1] - low[i] for i in range(1, size)]
    plus_dm = [u if u > d and u > 0 else 0.0 for u, d in zip(ups, downs, strict=True)]
    minus_dm = [d if d > u and d > 0 else 0.0 for u, d in zip(ups, downs, strict=True)]
    tr = _wilder_sum(true_range(high, low, close), n)
    plus = [_percent(a, b) for a, b in zip(_wilder_sum(plus_dm, n), tr, strict=True)]
    minus = [_percent(a, b) for a, b in zip(_wilder_sum(minus_dm, n), tr, strict=True)]
    dx = [_percent(abs(a - b), a + b) for a, b in zip(plus, minus, strict=True)]
    return _wilder_mean(dx, n, n), plus, minus


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole != 0 else 0.0


def ema(values: list[float], n: int) -> list[float]:
    """α = 2/(n+1), seeded by the mean of the first n values."""
    out = [NAN] * min(n - 1, len(values))
    if len(values) < n:
        return out
    seed = 0.0
    for x in values[:n]:
        seed += x
    out.append(seed / n)
    alpha = 2.0 / (n + 1)
    for x in values[n:]:
        out.append(out[-1] + (x - out[-1]) * alpha)
    return out


def vwap(
    day: list[int], high: list[float], low: list[float], close: list[float], volume: list[float]
) -> tuple[list[float], list[float]]:
    """ΣPV/ΣV of (H+L+C)/3 since the day's first bar and its volume-weighted deviation, in exact fractions.

    Zero (or unknown) volume adds nothing; NaN before the first volume and from a price that is not
    finite on. The kernel's updating formula agrees only to rounding.
    """
    means, sigmas = [], []
    whole = first = second = Fraction(0)
    broken = False
    for i in range(len(day)):
        if i == 0 or day[i] != day[i - 1]:
            whole = first = second = Fraction(0)
            broken = False
        price = (high[i] + low[i] + close[i]) / 3
        if volume[i] > 0 and not (math.isfinite(price) and math.isfinite(volume[i])):
            broken = True
        elif volume[i] > 0 and not broken:
            p, w = Fraction(price), Fraction(volume[i])
            whole, first, second = whole + w, first + w * p, second + w * p * p
        if broken or not whole:
            means.append(NAN)
            sigmas.append(NAN)
            continue
        mean = first / whole
        means.append(float(mean))
        sigmas.append(math.sqrt(second / whole - mean * mean))
    return means, sigmas


def realised(
    day: list[int], minute: list[int], close_minute: list[int], close: list[float],
    *, returns: int = 20, least: int = 8, floor: float = 0.10, default: float = 0.20,
) -> list[float]:  # fmt: skip
    """Volatility in force at each bar (spec §12.1): stdev of the last log returns of session closes, × √252.

    A session counts from the first bar that is not in it. Sums run from the newest return back.
    """
    sessions: dict[int, list[int]] = {}
    for i, (d, m, end) in enumerate(zip(day, minute, close_minute, strict=True)):
        if 570 <= m < end:
            sessions.setdefault(d, []).append(i)
    closes = [(inside[-1], close[inside[-1]]) for _, inside in sorted(sessions.items())]
    by_count = [
        _volatility([c for _, c in closes[:done]], returns, least, floor, default)
        for done in range(len(closes) + 1)
    ]
    out = []
    done = 0
    for i in range(len(day)):
        while done < len(closes) and closes[done][0] < i:
            done += 1
        out.append(by_count[done])
    return out


def _volatility(closes: list[float], returns: int, least: int, floor: float, default: float) -> float:
    pairs = itertools.pairwise(closes)
    newest_first = [math.log(b / a) for a, b in pairs][::-1][:returns]
    count = len(newest_first)
    if count < least:
        return default
    mean = _sum(newest_first) / count
    spread = _sum([(r - mean) * (r - mean) for r in newest_first])
    return max(floor, math.sqrt(spread / (count - 1)) * math.sqrt(252.0))


def _sum(values: list[float]) -> float:
    total = 0.0
    for x in values:
        total += x
    return total
