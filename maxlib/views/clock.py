"""Wall clock and age of the newest bar, counted by the browser; and the sign that one is looking.

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
  const age = fact(model.get("told"));
  const wall = fact("wall clock, New York");
  const zone = { timeZone: "America/New_York", hour12: false };
  let since = 0;
  const heard = () => { since = performance.now(); tick(); };
  const tick = () => {
    const known = model.get("age");
    const seconds = Math.floor(known + (performance.now() - since) / 1000);
    const told = seconds < 120 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
    age.textContent = known < 0 ? "–" : told;
    const stale = model.get("stale");
    age.classList.toggle("mx-amber", stale > 0 && known >= 0 && seconds >= stale);
    wall.textContent = new Date().toLocaleTimeString("en-GB", zone);
  };
  model.on("change:age", heard);
  heard();
  const timer = setInterval(tick, 500);
  const here = () => model.send({ type: "here" });
  const pulse = model.get("pulse") > 0 ? setInterval(here, model.get("pulse") * 1000) : 0;
  if (pulse) here();
  return () => { clearInterval(timer); clearInterval(pulse); model.off("change:age", heard); };
}
export default { render };
"""


class WallClock(anywidget.AnyWidget):
    """A part of the page's header that runs by itself.

    Attributes
    ----------
    age : seconds since the newest bar arrived when this was told, negative = none has
    told : what the age is called
    stale : seconds from which the age is a warning; 0 = never
    pulse : seconds between two messages `{"type": "here"}` of a page that is open; 0 = none
    """

    _esm = _ESM
    age = traitlets.Float(-1.0).tag(sync=True)
    told = traitlets.Unicode("last bar arrived").tag(sync=True)
    stale = traitlets.Float(0.0).tag(sync=True)
    pulse = traitlets.Float(0.0).tag(sync=True)
