"""The peer: vectorbt's EMA cross, in an environment of its own. Imports nothing of ours.

    python peer_vectorbt.py BARS.npy FASTS SLOWS CHUNK    (lengths as "9,9,9" and "21,22,23")

It says its version, then answers each line on stdin, "profit ROWS" or "trades ROWS", with a line of
JSON: wall and CPU seconds of the sweep and what was asked for, one value a row.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt


def portfolio(opens: Any, close: Any, fasts: list[int], slows: list[int]) -> Any:
    fast = vbt.MA.run(close, fasts, ewm=True).ma.to_numpy().reshape(len(close), -1)
    slow = vbt.MA.run(close, slows, ewm=True).ma.to_numpy().reshape(len(close), -1)
    want = np.zeros(fast.shape, bool)
    want[1:] = fast[:-1] > slow[:-1]  # decided at the last close, filled at this open
    return vbt.Portfolio.from_signals(
        close, want, ~want, price=opens[:, None], size=1.0, init_cash=1e6, fees=0.0, freq="1min"
    )


def main() -> None:
    path, fast, slow, chunk = sys.argv[1:]
    fasts, slows = [int(n) for n in fast.split(",")], [int(n) for n in slow.split(",")]
    bars = np.load(path)
    opens, close = np.ascontiguousarray(bars["open"]), pd.Series(np.ascontiguousarray(bars["close"]))
    print(json.dumps({"version": vbt.__version__}), flush=True)
    for line in sys.stdin:
        what, rows = line.split()
        values: list[float] = []
        wall, cpu = time.perf_counter(), time.process_time()
        for first in range(0, int(rows), int(chunk)):
            part = slice(first, min(first + int(chunk), int(rows)))
            made = portfolio(opens, close, fasts[part], slows[part])
            found = made.total_profit() if what == "profit" else made.trades.count()
            values += np.atleast_1d(np.asarray(found)).tolist()
        answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "values": values}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
