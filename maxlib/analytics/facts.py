"""Stylised facts of one-minute bars: what a simulated market must share with the real one.

Sources of the list: R. Cont, "Empirical properties of asset returns: stylized facts and
statistical issues", Quantitative Finance 1 (2001) 223-236, section 2; intraday curves:
R. A. Wood, T. H. McInish, J. K. Ord, Journal of Finance 40 (1985) 723-739.

A description of the past, computed from whole samples: nothing here may feed a decision.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maxlib.core.errors import DataError
from maxlib.data import files
from maxlib.data.simulator import VIX
from maxlib.market import bars as b
from maxlib.market import calendar

Floats = NDArray[np.float64]

LAGS: Final = 60
_REGULAR: Final = b.RTH_CLOSE - b.RTH_OPEN
_EXTENDED: Final = 16 * 60 - _REGULAR  # minutes of 04:00-20:00 outside regular hours


@dataclass(frozen=True)
class Facts:
    """Stylised facts of one sample; a fact the sample cannot answer is NaN.

    Returns are log returns. "Minute" facts use close-to-close returns of neighbouring
    regular minutes, of full sessions without a missing minute.

    Attributes
    ----------
    sessions : int
        Sessions with regular-hours bars.
    daily_vol_pct, minute_vol_bp : float
        Standard deviation of close-to-close returns in per cent, of minute returns in
        basis points.
    daily_kurtosis, minute_kurtosis : float
        Excess kurtosis (0 for a normal distribution).
    return_acf, abs_return_acf : float64[60]
        Autocorrelation at lags 1..60 minutes, within sessions.
    vol_curve, volume_curve : float64[390]
        Mean |return| (from the open for the first minute) and mean volume per regular
        minute, each divided by its own mean over the session.
    overnight_share : float
        var(close to open) / (var(close to open) + var(open to close)).
    vix_beta : float
        Slope of d log VIX on the close-to-close return of the same session.
    vix_correlation, vix_mean : float
        Correlation of the same two; mean VIX close.
    vol_per_vix : float
        Standard deviation of daily return ÷ (previous VIX close / 100 / √252).
    missing_extended : float
        Share of minutes without a bar outside regular hours, among the minutes of the day
        that the sample covers (some files leave out whole hours; NaN if it is most of them).
    gap_min_pct, gap_max_pct : float
        Lowest and highest overnight gap, per cent.
    volume_correlation : float
        Correlation of |minute return| and volume.
    range_ratio : float
        Mean (high - low) / close over mean |minute return|; 2 for Brownian motion.
    """

    sessions: int
    daily_vol_pct: float
    minute_vol_bp: float
    daily_kurtosis: float
    minute_kurtosis: float
    return_acf: Floats
    abs_return_acf: Floats
    vol_curve: Floats
    volume_curve: Floats
    overnight_share: float
    vix_beta: float
    vix_correlation: float
    vix_mean: float
    vol_per_vix: float
    missing_extended: float
    gap_min_pct: float
    gap_max_pct: float
    volume_correlation: float
    range_ratio: float


def kurtosis(x: Floats) -> float:
    """Excess kurtosis of a sample (the biased moment ratio), NaN if it does not vary.

    >>> kurtosis(np.array([-1.0, 1.0, -1.0, 1.0]))
    -2.0
    """
    d = x - x.mean() if x.size else x
    var = float((d**2).mean()) if x.size else 0.0
    return float((d**4).mean()) / var**2 - 3.0 if var > 0 else float("nan")


def autocorrelation(x: Floats, lags: int = LAGS) -> Floats:
    """Autocorrelation along the last axis at lags 1..lags, pooled over rows.

    Parameters
    ----------
    x : float64[rows, n]
        One row per session, so that no pair spans two sessions.

    Returns
    -------
    float64[lags]
        NaN where no pair exists or nothing varies.
    """
    out = np.full(lags, np.nan)
    if not x.size:
        return out
    d = x - x.mean()
    var = float((d**2).mean())
    for k in range(1, min(lags, x.shape[1] - 1) + 1):
        out[k - 1] = (d[:, k:] * d[:, :-k]).mean() / var if var > 0 else np.nan
    return out


def facts(bars: NDArray[np.void], vix: NDArray[np.void] | None = None) -> Facts:
    """The stylised facts of a sample.

    Parameters
    ----------
    bars : BAR[n]
        In time order, without duplicates.
    vix : VIX[m], optional
        Daily closes; sessions without one are left out of the VIX facts.

    Raises
    ------
    DataError
        If fewer than two sessions have regular-hours bars.
    """
    regular = bars[bars["session"] == b.NEW_YORK]
    regular = regular[regular["minute"] < regular["close_minute"]]
    days, first = np.unique(regular["day"], return_index=True)
    if len(days) < 2:
        raise DataError(f"facts need at least 2 sessions of regular hours, got {len(days)}")
    last = np.append(first[1:], len(regular)) - 1
    opens, closes = regular["open"][first], regular["close"][last]
    daily, gap, inside = np.diff(np.log(closes)), np.log(opens[1:] / closes[:-1]), np.log(closes / opens)
    overnight = _ratio(float(gap.var()), float(gap.var() + inside.var()))

    whole = np.isin(regular["day"], days[(last - first + 1 == _REGULAR)])
    full = regular[whole].reshape(-1, _REGULAR)
    step = np.diff(np.log(full["close"]), axis=1)
    size = np.abs(np.concatenate([np.log(full["close"][:, :1] / full["open"][:, :1]), step], axis=1))
    spans = (full["high"] - full["low"]) / full["close"]
    beta, correlation, vix_mean, ratio = _vix_facts(days, daily, vix)
    return Facts(
        sessions=len(days),
        daily_vol_pct=float(daily.std() * 100),
        minute_vol_bp=float(step.std() * 1e4) if step.size else float("nan"),
        daily_kurtosis=kurtosis(daily),
        minute_kurtosis=kurtosis(step),
        return_acf=autocorrelation(step),
        abs_return_acf=autocorrelation(np.abs(step)),
        vol_curve=_curve(size),
        volume_curve=_curve(full["volume"]),
        overnight_share=overnight,
        vix_beta=beta,
        vix_correlation=correlation,
        vix_mean=vix_mean,
        vol_per_vix=ratio,
        missing_extended=_missing(bars),
        gap_min_pct=float(np.expm1(gap.min()) * 100),
        gap_max_pct=float(np.expm1(gap.max()) * 100),
        volume_correlation=_correlation(np.abs(step).ravel(), full["volume"][:, 1:].ravel()),
        range_ratio=_ratio(float(spans[:, 1:].mean()), float(np.abs(step).mean()))
        if step.size
        else float("nan"),
    )


def session_closes(bars: NDArray[np.void]) -> Floats:
    """Close of the last regular minute of each session, dollars [sessions]."""
    last = (bars["session"] == b.NEW_YORK) & (bars["minute"] < bars["close_minute"])
    closes, days = bars["close"][last], bars["day"][last]
    out: Floats = closes[np.append(days[1:] != days[:-1], True)] if len(closes) else closes
    return out


def _curve(x: Floats) -> Floats:
    return x.mean(axis=0) / x.mean() if x.size and x.any() else np.full(_REGULAR, np.nan)


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0 else float("nan")


def _correlation(x: Floats, y: Floats) -> float:
    varies = x.size > 1 and x.std() > 0 and y.std() > 0
    return float(np.corrcoef(x, y)[0, 1]) if varies else float("nan")


def _vix_facts(
    days: NDArray[np.int32], daily: Floats, vix: NDArray[np.void] | None
) -> tuple[float, float, float, float]:
    nan = float("nan")
    if vix is None or not len(vix):
        return nan, nan, nan, nan
    at = np.minimum(np.searchsorted(vix["day"], days), len(vix) - 1)
    level = np.where(vix["day"][at] == days, vix["close"][at], np.nan)
    change = np.diff(np.log(level))
    known = np.isfinite(change)
    if known.sum() < 3:
        return nan, nan, nan, nan
    x, y = daily[known], change[known]
    beta = _ratio(float(np.cov(x, y)[0, 1]), float(x.var(ddof=1)))
    scaled = x / (level[:-1][known] / 100 / np.sqrt(252))
    return beta, _correlation(x, y), float(np.nanmean(level)), float(scaled.std())


def _missing(bars: NDArray[np.void]) -> float:
    """Half days and sessions with regular hours only (a source's choice) do not count."""
    outside = bars[(bars["close_minute"] == b.RTH_CLOSE) & (bars["session"] != b.NEW_YORK)]
    if not len(outside):
        return float("nan")
    # The evening belongs to the next trading day; here it must count with its own date.
    date = calendar.new_york_minutes(outside["ts"] - b.NS_PER_MINUTE) // 1440
    covered = len(np.unique(outside["minute"]))
    if covered < _EXTENDED / 2:
        return float("nan")
    return 1.0 - len(outside) / (covered * len(np.unique(date)))


def real_bars(path: str) -> NDArray[np.void] | None:
    """Bars of a file below a shared folder, repeated minutes dropped; None if it is not there.

    Parameters
    ----------
    path : str
        As `maxlib.data.files.find` takes it.
    """
    found = files.find(path)
    if found is None:
        return None
    raw = files.read(found)
    _, keep = np.unique(raw.start, return_index=True)
    columns = (getattr(raw, name)[keep] for name in ("start", "open", "high", "low", "close", "volume"))
    return calendar.stamp(*columns)


def real_vix(path: str) -> NDArray[np.void] | None:
    """Daily VIX closes of a Parquet file with columns `date` and `close`; None if it is not there."""
    found = files.find(path)
    if found is None:
        return None
    from pyarrow import parquet  # only real data needs it

    table = parquet.read_table(found, columns=["date", "close"])
    out = np.zeros(table.num_rows, VIX)
    dates = np.array([str(date)[:10] for date in table["date"].to_pylist()], "datetime64[D]")
    out["day"] = dates.astype(np.int64)
    out["close"] = table["close"].to_numpy()
    return np.sort(out, order="day")


class Reference(NamedTuple):
    """The real sample that a simulated market is measured against."""

    path: str
    last: dt.date
    name: str


REFERENCES: Final = {
    "normal": Reference("qqq_1m_20240102_20250228.parquet", dt.date(2025, 2, 28), "QQQ 2024-01 to 2025-02"),
    "crash": Reference("qqq_1m_20200219_20200520.parquet", dt.date(2020, 5, 20), "QQQ 2020-02 to 2020-05"),
    "calm": Reference("qqq_1m_20240102_20250228.parquet", dt.date(2024, 5, 31), "QQQ 2024-01 to 2024-05"),
}
"""File names below `unclear/bars`. The calm reference is calm, but not as calm as VIX 12: it averaged 14."""


def reference(market: str, folder: str) -> Facts | None:
    """Facts of the real sample for a simulated market; None where the file is not to be found.

    Parameters
    ----------
    market : {"normal", "crash", "calm"}
    folder : str
        Folder of real data, as it stands or below a shared folder.
    """
    wanted = REFERENCES[market]
    bars = real_bars(f"{folder}/unclear/bars/{wanted.path}")
    if bars is None:
        return None
    bars = bars[bars["day"] <= calendar.ordinal(wanted.last)]
    return facts(bars, real_vix(f"{folder}/open/vix/vix_daily_1990_2026.parquet"))


class Row(NamedTuple):
    """One fact side by side; `ratio` is simulated / real, NaN if one is missing or signs differ."""

    fact: str
    real: float
    simulated: float
    ratio: float


_FIELDS: Final = {
    "daily_vol_pct": "daily volatility, %",
    "minute_vol_bp": "minute volatility, bp",
    "daily_kurtosis": "excess kurtosis of days",
    "minute_kurtosis": "excess kurtosis of minutes",
    "overnight_share": "overnight share of variance",
    "gap_min_pct": "lowest overnight gap, %",
    "gap_max_pct": "highest overnight gap, %",
    "vix_mean": "mean VIX",
    "vix_beta": "VIX beta (log on log)",
    "vix_correlation": "VIX correlation",
    "vol_per_vix": "daily volatility / VIX",
    "missing_extended": "missing extended minutes",
    "volume_correlation": "correlation |r|, volume",
    "range_ratio": "high - low over |r|",
}


def measures(found: Facts) -> dict[str, float]:
    """The facts as named numbers; of the curves, a few points."""
    out = {text: float(getattr(found, name)) for name, text in _FIELDS.items()}
    out |= {f"autocorrelation |r|, lag {k}": float(found.abs_return_acf[k - 1]) for k in (1, 10, 60)}
    for text, minute in (("first", 0), ("last", -1)):
        out[f"|r| of the {text} minute / mean"] = float(found.vol_curve[minute])
        out[f"volume of the {text} minute / mean"] = float(found.volume_curve[minute])
    return out


def compare(real: Facts | None, simulated: Facts) -> list[Row]:
    """The measures of two samples side by side; without a real one its column is NaN."""
    mine = measures(simulated)
    theirs = measures(real) if real else dict.fromkeys(mine, float("nan"))

    def ratio(x: float, y: float) -> float:
        return y / x if x * y > 0 else float("nan")

    return [Row(k, theirs[k], mine[k], ratio(theirs[k], mine[k])) for k in mine]


def where_off(rows: list[Row], band: float = 1.25) -> str:
    """One sentence that names every fact whose ratio leaves 1/band..band."""
    compared = [r for r in rows if np.isfinite(r.real) and np.isfinite(r.simulated)]
    if not compared:
        return "Nothing was compared: no real bars were found."
    off = [
        f"{r.fact} ({r.simulated:.3g}, real {r.real:.3g})"
        for r in compared
        if not 1 / band <= r.ratio <= band
    ]
    near = len(compared) - len(off)
    start = f"{near} of {len(compared)} facts lie within a factor of {band:g} of the real ones"
    return f"{start}." if not off else f"{start}; off are: {'; '.join(off)}."
