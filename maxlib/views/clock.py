"""Wall clock and age of the newest bar, counted by the browser.

A kernel that sends a picture every second is never idle, and one that nobody looks at
could never be told from it; so what changes by itself, changes in the browser.
"""

from __future__ import annotations

import anywidget
import traitlets

_ESM = """
function render({ model, el }) {
  el.classList.add("mx-facts");
  const fact = (name) => {
    const box = el.appendChild(document.createElement("div"));
    box.className = "mx-fact";
    box.appendChild(document.createElement("label")).textContent = name;
    return box.appendChild(document.createElement("b"));
  };
  const age = fact("last bar arrived");
  const wall = fact("wall clock, New York");
  const zone = { timeZone: "America/New_York", hour12: false };
  let since = 0;
  const heard = () => { since = performance.now(); tick(); };
  const tick = () => {
    const known = model.get("age");
    const seconds = Math.floor(known + (performance.now() - since) / 1000);
    const told = seconds < 120 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
    age.textContent = known < 0 ? "–" : told;
    wall.textContent = new Date().toLocaleTimeString("en-GB", zone);
  };
  model.on("change:age", heard);
  heard();
  const timer = setInterval(tick, 500);
  return () => { clearInterval(timer); model.off("change:age", heard); };
}
export default { render };
"""


class WallClock(anywidget.AnyWidget):
    """`age`: seconds since the newest bar arrived when this was told, negative = none has."""

    _esm = _ESM
    age = traitlets.Float(-1.0).tag(sync=True)
