"""The systems under contract, their parameter rows, and the twin's columns for each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maxlib.kernels.system import System
from maxlib.options.volatility import REALISED
from maxlib.strategies.champion import CHAMPION
from maxlib.strategies.config import ChampionConfig, IctConfig, WaveConfig
from maxlib.strategies.wave_renko import WAVE_RENKO
from tests.contracts.systems import BRICKS, INDICATORS, STRUCTURES, TIMEFRAMES
from tests.twins import higher, indicators, renko, structures
from tests.twins.tape import Tape, tape

NAN = math.nan


@dataclass(frozen=True)
class Specimen:
    """A system with several parameter rows; `twin(tape, row)` gives columns by dotted field name.

    Fields in `close_to` are computed by another formula in the twin and agree to rounding only.
    """

    system: System
    rows: Any
    twin: Callable[[Tape, Any], dict[str, list[Any]]]
    close_to: tuple[str, ...] = ()


def _indicators(t: Tape, row: Any) -> dict[str, list[Any]]:
    n = int(row["length"])
    adx, plus, minus = indicators.adx(t.high, t.low, t.close, n)
    vwap, sigma = indicators.vwap(t.day, t.high, t.low, t.close, t.volume)
    return {
        "tr": indicators.true_range(t.high, t.low, t.close),
        "atr": indicators.simple_atr(t.high, t.low, t.close, n),
        "wilder": indicators.wilder_atr(t.high, t.low, t.close, n),
        "adx": adx,
        "plus": plus,
        "minus": minus,
        "ema": indicators.ema(t.close, int(row["span"])),
        "vwap": vwap,
        "sigma": sigma,
    }


def _sizes(t: Tape, k: float, days: int, fixed: float) -> list[float]:
    atr = indicators.simple_atr(t.high, t.low, t.close, 14)
    return [fixed] * len(t) if fixed > 0 else renko.rolling_size(t.day, atr, k, days)


def _bricks(t: Tape, row: Any) -> dict[str, list[Any]]:
    size = _sizes(t, float(row["k"]), int(row["days"]), float(row["fixed"]))
    make = renko.two_brick if row["reversal"] == 2 else renko.one_brick
    made = make(t.close, size)
    n = len(t)
    count, net, level = [0] * n, [0] * n, [NAN] * n
    first = next((i for i in range(n) if math.isfinite(t.close[i]) and math.isfinite(size[i])), n)
    for i in range(first, n):
        level[i] = t.close[first]
    for brick in made:
        count[brick.bar] += 1
        net[brick.bar] += brick.direction
        level[brick.bar :] = [brick.level] * (n - brick.bar)
    active = [585 <= t.minute[b.bar] <= 945 for b in made]
    every = int(row["accept_every"])
    out: dict[str, list[Any]] = {
        "size": size, "bricks": count, "net": net, "level": level,
        "candidates": [0] * n, "signals": [0] * n, "retrace": [NAN] * n, "kind": [0] * n,
        "p1": [NAN] * n, "p2": [NAN] * n,
    }  # fmt: skip
    for c in renko.waves(made, active, lambda j, _: (j + 1) % every == 0):
        i = made[c.brick].bar
        out["candidates"][i] += 1
        out["signals"][i] += c.taken
        out["retrace"][i], out["kind"][i] = c.retrace, {"shallow": 1, "healthy": 2}[c.kind]
        out["p1"][i], out["p2"][i] = c.p1, c.p2
    return out


def bits(values: list[int]) -> list[int]:
    """+1, -1, 0 as the bits UP = 1, DOWN = 2, 0."""
    return [{1: 1, -1: 2, 0: 0}[v] for v in values]


def read_structures(t: Tape, ict: Any) -> dict[str, list[Any]]:
    """All structures of a tape by the twins; `ict` is a row of IctParams."""
    atr = indicators.simple_atr(t.high, t.low, t.close, int(ict["atr_length"]))
    levels = structures.levels(t)
    low, high = structures.sweeps(t, levels)
    moves = structures.displacement(t, atr, float(ict["displacement"]), percent=bool(ict["displacement_by"]))
    gaps, blocks = structures.gaps(t), structures.blocks(t, moves)
    swung, swing_high, swing_low = structures.swings(t.high, t.low)
    shift = structures.shifts(t.close, swing_high, swing_low, carried=ict["mss"] == 0)
    seen = {
        "sweep": [(x == x) + 2 * (y == y) for x, y in zip(low, high, strict=True)],
        "displacement": bits(moves),
        "mss": shift,
        "gap": bits([g[0] for g in gaps]),
        "block": bits([b[0] for b in blocks]),
        "sweep_up_level": low,
        "sweep_down_level": high,
        "gap_low": [g[1] for g in gaps],
        "gap_high": [g[2] for g in gaps],
        "block_low": [b[1] for b in blocks],
        "block_high": [b[2] for b in blocks],
        "atr": atr,
    }
    out = {f"seen.{name}": column for name, column in seen.items()}
    out |= {f"levels.{name}": column for name, column in levels.items()}
    out |= {"swung": swung, "swing_high": swing_high, "swing_low": swing_low}
    for side, bit in (("up", 1), ("down", 2)):
        present = {name: [v & bit != 0 for v in seen[name]] for name in structures.WEIGHTS}
        out[f"{side}_score"] = structures.score(present)
        out[f"{side}_age"] = structures.confluence(present["sweep"], present["displacement"], present["mss"])
    return out


def _timeframes(t: Tape, row: Any) -> dict[str, list[Any]]:
    p = row["trend"]
    found = higher.verdicts(t)
    return {
        "direction": bits([v[0] for v in found]),
        "confidence": [v[1] for v in found],
        "label": trend_labels(t, p),
    }


def trend_labels(t: Tape, p: Any) -> list[int]:
    return higher.labels(
        t, k=float(p["k"]), days=int(p["days"]), fixed=float(p["fixed"]),
        lookback=int(p["lookback"]), threshold=float(p["threshold"]),
    )  # fmt: skip


def _realised(t: Tape, row: Any) -> dict[str, list[Any]]:
    return {
        "sigma": indicators.realised(
            t.day, t.minute, t.close_minute, t.close, returns=int(row["returns"]),
            least=int(row["min_returns"]), floor=float(row["floor"]), default=float(row["default"]),
        )
    }  # fmt: skip


def _champion(t: Tape, row: Any) -> dict[str, list[Any]]:
    """Spec §2 and §5 made causal: the signal is the close of the confirming bar, in the entry window."""
    read = read_structures(t, row["ict"])
    side, formed, target = [], [], []
    for i in range(len(t)):
        distance = float(row["target_atr"]) * read["seen.atr"][i]
        entry = t.minute[i] + 1
        open_now = max(570, row["entry_from"]) <= entry <= row["entry_to"] and entry < t.close_minute[i]
        up, down = read["up_age"][i], read["down_age"][i]
        good = open_now and distance >= row["min_target"]
        side.append(1 if good and up >= 0 else -1 if good and down >= 0 else 0)
        formed.append(t.ts[i - (up if up >= 0 else down)] if side[-1] else None)
        target.append(distance)
    return {
        **{name: column for name, column in read.items() if name.startswith("seen.")},
        "signal.side": side, "signal.formed_at": formed, "signal.tp1": target,
        "signal.stop": [NAN] * len(t), "signal.tp2": [NAN] * len(t), "signal.confidence": [1.0] * len(t),
        "signal.basis": [2] * len(t), "signal.atr": read["seen.atr"],
    }  # fmt: skip


def _wave(t: Tape, row: Any) -> dict[str, list[Any]]:
    """Spec §3 with target mode fixed_pct and without the ICT blend."""
    n = len(t)
    size = _sizes(t, float(row["k"]), int(row["brick_days"]), float(row["brick_fixed"]))
    made = (renko.two_brick if row["reversal"] == 2 else renko.one_brick)(t.close, size)
    found = higher.verdicts(t)
    label = trend_labels(t, row["trend"])
    read = read_structures(t, row["ict"])
    window = [row["window_from"] <= m <= row["window_to"] for m in t.minute]
    if row["avoid_lunch"]:
        window = [w and not 720 <= m < 810 for w, m in zip(window, t.minute, strict=True)]
    active = [window[b.bar] for b in made]
    gates = []  # per brick and wave direction, whether a candidate there would signal
    for brick in made:
        i = brick.bar
        direction, confidence = found[i]
        ok = confidence >= row["min_confidence"]
        if row["use_volume"]:
            recent = t.volume[max(0, i - 19) : i + 1][::-1]
            total = 0.0
            for v in recent:
                total += v
            ok = ok and t.volume[i] >= float(row["volume_ratio"]) * total / len(recent)
        passes = {}
        for side in (1, -1):
            swept = read["seen.sweep"][i] & (1 if side > 0 else 2)
            allowed = not row["use_regime"] or label[i] in (0, side)
            passes[side] = ok and direction == side and allowed and bool(swept or not row["require_sweep"])
        gates.append(passes)
    candidates = renko.waves(
        made, active, lambda j, direction: gates[j][direction],
        least=int(row["min_run"]), farthest=float(row["max_distance"]),
    )  # fmt: skip
    side = [0] * n
    formed, kind, p1, p2 = ([None] * n for _ in range(4))
    for c in candidates:
        if c.taken:
            i = made[c.brick].bar
            side[i], formed[i] = c.direction, t.ts[i]
            kind[i], p1[i], p2[i] = {"shallow": 1, "healthy": 2}[c.kind], c.p1, c.p2
    count = [0] * n
    for brick in made:
        count[brick.bar] += brick.direction
    return {
        "signal.side": side, "signal.formed_at": formed, "signal.confidence": [v[1] for v in found],
        "bricks": count, "size": size, "label": label,
        "kind": kind, "p1": p1, "p2": p2,
    }  # fmt: skip


def rows(*singles: Any) -> Any:
    return np.concatenate(singles)


def _wave_rows() -> Any:
    plain = {"use_ict_boost": False, "target_mode": "fixed_pct"}
    return rows(
        WaveConfig(**plain, brick_days=2, brick_k=2.0).build().params,
        WaveConfig(**plain, brick_usd=0.65, reversal=2, use_volume_filter=True).build().params,
        WaveConfig(**plain, brick_usd=0.65, avoid_lunch_chop=True, use_regime_filter=False).build().params,
    )


SPECIMENS = {
    "indicators": Specimen(
        INDICATORS,
        INDICATORS.params(length=np.array([14, 3, 1]), span=np.array([9, 21, 1])),
        _indicators,
        close_to=("vwap", "sigma"),
    ),
    "bricks": Specimen(
        BRICKS,
        BRICKS.params(
            k=np.array([4.0, 2.0, 2.0, 1.0, 1.0]),
            days=np.array([5, 1, 2, 1, 1]),
            fixed=np.array([0.0, 0.0, 0.0, 0.6556, 0.37]),
            reversal=np.array([1, 1, 2, 1, 2]),
            accept_every=np.array([1, 2, 3, 2, 1]),
        ),
        _bricks,
    ),
    "structures": Specimen(
        STRUCTURES,
        STRUCTURES.params(
            atr_length=np.array([14, 14, 5]),
            displacement=np.array([1.0, 0.0005, 0.75]),
            displacement_by=np.array([0, 1, 0]),
            mss=np.array([0, 1, 1]),
        ),
        lambda t, row: read_structures(t, row),
    ),
    "timeframes": Specimen(
        TIMEFRAMES,
        rows(
            TIMEFRAMES.params(trend=(1.0, 2, 0.0, 20, 0.3)),
            TIMEFRAMES.params(trend=(1.0, 5, 0.0, 10, 0.6)),
            TIMEFRAMES.params(trend=(1.0, 1, 0.9, 20, 0.3)),
        ),
        _timeframes,
    ),
    "realised": Specimen(
        REALISED,
        REALISED.params(
            returns=np.array([20, 5]), min_returns=np.array([8, 2]),
            floor=np.array([0.10, 0.0]), default=np.array([0.20, 0.3]),
        ),
        _realised,
    ),
    "champion": Specimen(
        CHAMPION,
        rows(
            ChampionConfig().build().params,
            ChampionConfig(ict=IctConfig(mss="refiring", displacement=0.75), entry_to="12:00").build().params,
        ),
        _champion,
    ),
    "wave_renko": Specimen(WAVE_RENKO, _wave_rows(), _wave),
}  # fmt: skip


def expected(specimen: Specimen, bars: Any, row: int) -> dict[str, list[Any]]:
    return specimen.twin(tape(bars), specimen.rows[row])
