"""The peers of option pricing, in an environment of their own. Imports nothing of ours.

    python peer_pricing.py OPTIONS.npz SLOW THREADS

It says which peers it has, by name and version, and which it misses, then answers each line on
stdin, "greeks NAME" or "implied NAME", with a line of JSON: wall and CPU seconds for all options,
and for "implied" the file with its answers. A peer that takes
one option a call is timed on the first SLOW of them, and its time multiplied. What a peer needs
in another form (letters, calls apart from puts) is made before its clock starts.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

PACKAGES = {
    "scipy": "scipy",
    "iv-engine": "iv_engine",
    "pyvolr": "pyvolr",
    "fast-vollib": "fast_vollib",
    "lbriv": "lbriv",
    "QuantLib": "QuantLib",
    "vollib": "vollib",
}
RATE, DIVIDEND = 0.04, 0.005
Work = tuple[int, Callable[[], Any]]  # options it takes, and the work itself


class Peers:
    """Every peer's way to do the work."""

    def __init__(self, options: Any, slow: int, threads: int) -> None:
        self.sign, self.spot, self.strike, self.t, self.sigma, self.price = (
            options[name] for name in ("sign", "spot", "strike", "t", "sigma", "price")
        )
        self.slow, self.parallel = slow, threads > 1
        self.count = len(self.spot)
        self.letters = np.where(self.sign > 0, "c", "p")
        self.sides = [(side > 0, np.flatnonzero(self.sign == side)) for side in (1.0, -1.0)]

    def _greeks_scipy(self) -> Work:
        from scipy.special import ndtr

        def work() -> Any:
            w, s, k, t, v, r, q = self.sign, self.spot, self.strike, self.t, self.sigma, RATE, DIVIDEND
            root = np.sqrt(t)
            spread, yielded, discount = v * root, np.exp(-q * t), np.exp(-r * t)
            d1 = (np.log(s / k) + (r - q) * t) / spread + 0.5 * spread
            n1, density = ndtr(w * d1), np.exp(-0.5 * d1 * d1) * (yielded / math.sqrt(2 * math.pi))
            a, b = s * yielded * n1, k * discount * ndtr(w * (d1 - spread))
            slope = s * density
            return (w * (a - b), w * yielded * n1, density / (s * spread),
                    w * (q * a - r * b) - 0.5 * slope * v / root, slope * root, w * t * b)  # fmt: skip

        return self.count, work

    def _split(self) -> list[tuple[bool, Any]]:
        columns = (self.price, self.spot, self.strike, self.t, self.sigma)
        return [(call, [column[rows] for column in columns]) for call, rows in self.sides]

    def _greeks_iv_engine(self) -> Work:
        """Four outputs: it has no theta and rho over arrays."""
        from iv_engine import batch

        split, how = self._split(), {"parallel": self.parallel}

        def work() -> None:
            for call, (_, s, k, t, v) in split:
                batch.black_scholes_prices(s, k, t, RATE, DIVIDEND, v, call, **how)
                batch.deltas(s, k, t, v, call, **how)
                batch.gammas(s, k, t, v, **how)
                batch.vegas(s, k, t, v, **how)

        return self.count, work

    def _greeks_pyvolr(self) -> Work:
        from pyvolr import bs

        flag = self.sign.astype(np.int8)

        def work() -> None:
            bs.price(flag, self.spot, self.strike, self.t, RATE, self.sigma, DIVIDEND)
            bs.greeks(flag, self.spot, self.strike, self.t, RATE, self.sigma, DIVIDEND)

        return self.count, work

    def _greeks_fast_vollib(self) -> Work:
        import fast_vollib as fv

        how: Any = {"model": "black_scholes_merton", "return_as": "dict"}

        def work() -> None:
            arguments = (self.letters, self.spot, self.strike, self.t, RATE, self.sigma, DIVIDEND)
            fv.fast_black_scholes_merton(*arguments, return_as="numpy")
            fv.get_all_greeks(*arguments, **how)

        return self.count, work

    def _rows(self) -> list[Any]:
        columns = (self.letters, self.price, self.spot, self.strike, self.t, self.sigma)
        return list(zip(*(column[: self.slow].tolist() for column in columns), strict=True))

    def _greeks_quantlib(self) -> Work:
        import QuantLib as ql  # noqa: N813 - its own documentation's name

        rows = self._rows()

        def work() -> None:
            for letter, _, s, k, t, v in rows:
                payoff = ql.PlainVanillaPayoff(ql.Option.Call if letter == "c" else ql.Option.Put, k)
                made = ql.BlackCalculator(
                    payoff, s * math.exp((RATE - DIVIDEND) * t), v * math.sqrt(t), math.exp(-RATE * t)
                )
                made.value(), made.delta(s), made.gamma(s), made.theta(s, t), made.vega(t), made.rho(t)

        return len(rows), work

    def _greeks_vollib(self) -> Work:
        from vollib.black_scholes_merton import black_scholes_merton
        from vollib.black_scholes_merton.greeks.analytical import delta, gamma, rho, theta, vega

        rows = self._rows()

        def work() -> None:
            for letter, _, s, k, t, v in rows:
                for one in (black_scholes_merton, delta, gamma, theta, vega, rho):
                    one(letter, s, k, t, RATE, v, DIVIDEND)

        return len(rows), work

    def _implied_iv_engine(self) -> Work:
        from iv_engine import batch

        split, found = self._split(), np.empty(self.count)

        def work() -> Any:
            for (call, (p, s, k, t, _)), (_, rows) in zip(split, self.sides, strict=True):
                found[rows] = batch.implied_volatilities(p, s, k, t, call, self.parallel)
            return found

        return self.count, work

    def _implied_pyvolr(self) -> Work:
        from pyvolr import black76

        flag = self.sign.astype(np.int8)
        return self.count, lambda: black76.implied_vol(
            self.price, flag, self.spot, self.strike, self.t, 0.0, on_error="ignore"
        )

    def _implied_fast_vollib(self) -> Work:
        import fast_vollib as fv

        return self.count, lambda: fv.fast_implied_volatility(
            self.price,
            self.spot,
            self.strike,
            self.t,
            0.0,
            self.letters,
            on_error="ignore",
            return_as="numpy",
        )

    def _implied_lbriv(self) -> Work:
        """With delta, gamma and vega: its only call for many strikes, expiries and both sides."""
        import lbriv

        call, ones = (self.sign > 0).astype(np.int8), np.ones(self.count)
        outs = [np.empty(self.count) for _ in range(4)]

        def work() -> Any:
            lbriv.compute_trades_greeks(self.price, self.spot, self.strike, call, ones, *outs)
            return outs[0] / np.sqrt(self.t)

        return self.count, work

    def _implied_quantlib(self) -> Work:
        import QuantLib as ql  # noqa: N813 - its own documentation's name

        rows = self._rows()

        def work() -> Any:
            found = []
            for letter, p, s, k, t, _ in rows:
                side = ql.Option.Call if letter == "c" else ql.Option.Put
                try:
                    deviation = ql.blackFormulaImpliedStdDev(side, k, s, p, 1.0, 0.0, 0.1, 1e-12, 200)
                    found.append(deviation / math.sqrt(t))
                except RuntimeError:
                    found.append(math.nan)
            return np.array(found)

        return len(rows), work

    def _implied_vollib(self) -> Work:
        from vollib.black.implied_volatility import implied_volatility

        rows = self._rows()

        def work() -> Any:
            found = []
            for letter, p, s, k, t, _ in rows:
                try:
                    found.append(implied_volatility(p, s, k, 0.0, t, letter))
                except Exception:  # noqa: BLE001 - whatever it raises is "no answer"
                    found.append(math.nan)
            return np.array(found, float)

        return len(rows), work

    def work(self, what: str, name: str) -> Work:
        """How many options a peer takes at once, and what it does with them."""
        made: Work = getattr(self, f"_{what}_{name.lower().replace('-', '_')}")()
        return made


def _able(options: Any) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str]]:
    """Peers able to do each kind of work, the versions of those there are, and why others can't."""
    few = Peers({name: options[name][:50] for name in options.files}, 50, 1)
    can: dict[str, list[str]] = {"greeks": [], "implied": []}
    versions, missing = {}, {}
    for name, module in PACKAGES.items():
        try:
            importlib.import_module(module)
            versions[name] = importlib.metadata.version(name)
            for what, names in can.items():
                if hasattr(few, f"_{what}_{name.lower().replace('-', '_')}"):
                    few.work(what, name)[1]()
                    names.append(name)
        except Exception as error:  # noqa: BLE001 - a broken package is a missing one
            missing[name] = f"{type(error).__name__}: {error}"
    return can, versions, missing


def main() -> None:
    path, slow, threads = sys.argv[1:]
    warnings.simplefilter("ignore")
    options = np.load(path)
    can, versions, missing = _able(options)
    print(json.dumps({"can": can, "versions": versions, "missing": missing}), flush=True)
    peers = Peers(options, int(slow), int(threads))
    for line in sys.stdin:
        what, name = line.split()
        count, work = peers.work(what, name)
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer: dict[str, Any] = {"wall": wall * peers.count / count, "cpu": cpu * peers.count / count}
        if what == "implied":
            answer["sigma"] = f"{path}-{name}.npy"
            np.save(answer["sigma"], found)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
