"""The options lab: a structure builder on real and modelled chains, one app object for a notebook.

The quotes of one moment are where a structure is opened; the sliders are where it is looked at
later. So the sliders move value, profit and greeks; price, odds, bounds and rivals belong to the
quotes and stay. Everything shown is read from the controls by `refresh`, which needs no browser.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from html import escape, unescape
from importlib.resources import files
from string import Template
from typing import Any, Final

import ipywidgets as widgets
import numpy as np

from maxlib.core.canonical import sha256
from maxlib.core.errors import ConfigError, DataError, MaxTraderError
from maxlib.market.calendar import from_ordinal, new_york
from maxlib.market.quotes import Chain
from maxlib.options.chain_gate import inspect
from maxlib.options.chain_report import ChainReport
from maxlib.options.selection import SelectionConfig
from maxlib.options.structures import KINDS, RATIOS, Kind, structure
from maxlib.research.provenance import code_version
from maxlib.views import options_figures as drawing
from maxlib.views import options_panels as panels
from maxlib.views import theme
from maxlib.views.options_bench import (
    Expiry,
    Snapshot,
    at,
    choose,
    expiries,
    moments,
    placed,
    snapshot,
    trading_minutes,
)
from maxlib.views.options_controls import LEGS, Controls
from maxlib.views.options_reading import Reading, Scenario, as_dict, read
from maxlib.views.options_sources import MODELLED, Source
from maxlib.views.page import Edge
from maxlib.views.stream_chart import StreamChart

LOG: Final = logging.getLogger(__name__)


class OptionsLab(Edge):
    """The options lab's page.

    Parameters
    ----------
    chains : name -> chain, or what loads it when it is chosen
    chain : the name shown first; no other takes its place if it cannot be read
    kind, side : of the structure shown first: a name in `KINDS`, +1 bullish with calls, -1 bearish with puts
    strikes : dollars, inner leg first; () = those for the target
    target : dollars; 0 = one deviation the trade's way
    quantity : units
    commission_cents : a contract and side, for the selection

    Attributes
    ----------
    controls : set their values as a user would
    snapshot, reading : what is shown, read from the controls; None while no chain could be read

    Raises
    ------
    ConfigError
        If there is no such chain, kind or side. A chain that cannot be read is told in a banner.
    """

    def __init__(
        self,
        chains: Mapping[str, Source],
        *,
        chain: str = MODELLED,
        kind: str = "vertical",
        side: int = 1,
        strikes: Sequence[float] = (),
        target: float = 0.0,
        quantity: int = 1,
        commission_cents: int = 65,
    ) -> None:
        _among("chain", chain, tuple(chains))
        _among("kind", kind, KINDS)
        _among("side", side, (1, -1))
        self._sources = dict(chains)
        self._target, self._strikes = target, [round(100 * strike) for strike in strikes]
        self._config = SelectionConfig(commission_cents=commission_cents)
        self._loaded: dict[str, Chain] = {}
        self.chain: Chain | None = None
        self._snapshots: dict[tuple[int, Expiry], Snapshot] = {}
        self.moment: Chain | None = None
        self.report: ChainReport | None = None
        self.snapshot: Snapshot | None = None
        self.reading: Reading | None = None
        self._revision = 0
        self._drawn: Any = None
        self._unplaced = ""

        self.controls = Controls(
            list(chains), on_change=self._guard(self._changed), on_button=self._guard(self._pressed)
        )
        self.header = widgets.HTML().add_class("mx-brandbar")
        self.facts = widgets.HTML().add_class("mx-lab-facts")
        self.banner = widgets.HTML().add_class("mx-banner")
        self.chart = StreamChart(drawing.blank())
        self.panels = {
            name: widgets.HTML().add_class("mx-panel").add_class(f"mx-{name}")
            for name in ("figures", "exit", "firewall", "selection", "quality")
        }
        super().__init__([
            widgets.HTML(f"<style>{theme.css()}{css()}</style>").add_class("mx-style"),
            widgets.Box([self.header, self.facts]).add_class("mx-header"),
            self.banner,
            self.controls,
            widgets.VBox([widgets.HTML(_LEGEND).add_class("mx-tape"), self.chart])
            .add_class("mx-panel").add_class("mx-centre"),
            *self.panels.values(),
        ])  # fmt: skip
        self.add_class("mx-app").add_class("mx-lab")
        self.controls.choose(chain=chain, kind=kind, side=side, quantity=quantity)
        self._guard(self._load)()

    # --- what the controls do: each step leads to the next

    def _changed(self, name: str) -> None:
        if name == "chain":
            self._load()
        elif self.chain is None:
            return
        elif name == "moment":
            self._take_moment()
        elif name == "expiry":
            self._take_expiry()
        elif self.snapshot is None:
            return
        elif name == "side":
            self._aim()
            self._place()
        elif name == "kind":
            self._place()
        elif name.startswith("strike"):
            self._settle([field.value for field in self._used()])
        self.refresh()

    def _pressed(self, name: str) -> None:
        if self.snapshot is None or self.reading is None:
            return
        chosen = self.reading.selection.chosen
        if name == "reset":
            self._look()
        elif chosen is not None:
            self.controls.choose(kind=chosen.kind)
            self._unplaced = ""
            self._settle([leg.contract.strike_cents for leg in chosen.legs])
        self.refresh()

    def _load(self) -> None:
        """Read the chosen chain. If it cannot be read none is shown: never another one in its place."""
        name = self.controls.chain.value
        self.chain = self.moment = self.report = self.snapshot = self.reading = None
        for name_of in ("moment", "expiry"):
            self.controls.offer(name_of, [("–", 0)], 0)
        if name not in self._loaded:
            source = self._sources[name]
            self._loaded[name] = source if isinstance(source, Chain) else source()
        chain = self._loaded[name]
        times = moments(chain)
        if not times:
            raise DataError(f"{chain.name}: it holds no quotes")
        self.chain, self._snapshots = chain, {}
        options = [(_clock(ts, times), ts) for ts in times]
        _, counts = np.unique(chain.rows["ts"], return_counts=True)
        self.controls.offer("moment", options, times[int(counts.argmax())])  # the fullest
        self._take_moment()
        self.refresh()

    def _take_moment(self) -> None:
        assert self.chain is not None
        self.moment = at(self.chain, self.controls.moment.value)
        self.report = inspect(self.moment)
        found = expiries(self.moment)
        if not found:
            self.snapshot = self.reading = None
            raise DataError(f"{self.chain.name}: it does not say when its options expire")
        ts = self.controls.moment.value
        alive = [expiry for expiry in found if trading_minutes(ts, expiry.expires_at) > 0]
        first = alive[0] if alive else found[-1]
        kept = self.controls.expiry.value
        options = [(_expiry(e.expires_at), e) for e in found]
        self.controls.offer("expiry", options, kept if kept in found else first)
        self._take_expiry()

    def _take_expiry(self) -> None:
        assert self.chain is not None
        self.snapshot = self.reading = None
        key = (self.controls.moment.value, self.controls.expiry.value)
        if key not in self._snapshots:
            self._snapshots[key] = snapshot(self.chain, *key)
        self.snapshot = self._snapshots[key]
        self._look()
        self._aim()
        self._place()

    def _look(self) -> None:
        """The sliders back to the moment of the quotes, over what can still happen."""
        snap = self.snapshot
        assert snap is not None
        reach, step = _round(3 * snap.deviation)
        self.controls.reach("shift", -reach, reach, step, 0.0)
        self.controls.iv_scale.readout_format = ".2f"
        last_day = snap.minutes <= panels.LAST_DAY
        unit = 1.0 if last_day else panels.LAST_DAY
        self.controls.left.description = "Minutes" if last_day else "Days"
        self.controls.left.readout_format = ".0f" if last_day else ".1f"
        most = snap.minutes / unit
        self.controls.reach("left", 0.0, max(most, 1e-6), 1.0 if last_day else 0.1, most)
        self.controls.choose(iv_scale=1.0)

    def _aim(self) -> None:
        """The target: as told, else a deviation the trade's way, at a round price."""
        snap, side = self.snapshot, self.controls.side.value
        assert snap is not None
        reach, step = _round(4 * snap.deviation)
        middle = round(snap.here / step) * step
        low, high = max(step, middle - reach), middle + reach
        wanted = self._target or round((snap.here + side * snap.deviation) / step) * step
        self._target = 0.0
        self.controls.reach("target", low, high, step, min(max(wanted, low), high))

    def _place(self) -> None:
        """Strikes for the target."""
        snap, kind, side = self.snapshot, self.controls.kind.value, self.controls.side.value
        assert snap is not None
        wanted, self._unplaced = placed(snap.listing(side), side, kind, snap.here, self.controls.target.value)
        if self._strikes and len(self._strikes) == len(RATIOS[kind]):
            wanted, self._unplaced = self._strikes, ""
        self._strikes = []
        self._settle(wanted)

    def _settle(self, wanted: Sequence[int]) -> None:
        """Offer the strikes that go together, as near to those wanted as there are."""
        snap, kind, side = self.snapshot, self.controls.kind.value, self.controls.side.value
        assert snap is not None
        self.controls.label_strikes(kind)
        choice = choose(snap.listing(side), side, kind, wanted)
        self._structure = None
        for i in range(LEGS):
            name = f"strike{i}"
            if choice is None or i >= len(choice.chosen):
                self.controls.offer(name, [("–", 0)], 0)
                continue
            options = [(f"{cents / 100:g}", cents) for cents in choice.offered[i]]
            self.controls.offer(name, options, choice.chosen[i])
        if choice is not None:
            listing = snap.listing(side)
            self._structure = structure(kind, side, listing.root, listing.expiry, choice.chosen)

    def _used(self) -> list[Any]:
        kind: Kind = self.controls.kind.value
        return self.controls.strikes[: len(RATIOS[kind])]

    # --- reading and drawing

    def refresh(self) -> None:
        """Read the controls anew and show what follows; only what changed is sent."""
        snap = self.snapshot
        if snap is None or self.moment is None or self.report is None:
            return
        self.banner.value = ""
        self.header.value = panels.header(snap, self.chain)
        self.facts.value = panels.facts(snap)
        self.panels["quality"].value = panels.quality(snap, self.moment, self.report)
        if self._structure is None:
            self.reading = None
            kind = self.controls.kind.value
            self._blank(f"Too few strikes are listed for {kind}, of this side and expiry.")
            self._enable()
            return
        target = self.controls.target.value
        reading = read(
            snap, self._structure, self.controls.quantity.value, self.scenario, target, self._config
        )
        self.reading = reading
        self.panels["figures"].value = panels.figures(snap, reading)
        self.panels["exit"].value = panels.leaving(snap, reading)
        self.panels["firewall"].value = panels.firewall(snap, reading)
        self.panels["selection"].value = panels.selection(reading, target)
        self._draw(snap, reading, target)
        self._enable()

    @property
    def scenario(self) -> Scenario:
        """Where the sliders stand."""
        controls = self.controls
        assert self.snapshot is not None
        unit = 1.0 if self.snapshot.minutes <= panels.LAST_DAY else panels.LAST_DAY
        # The slider's end is the moment itself, whatever its step.
        left = (
            self.snapshot.minutes if controls.left.value >= controls.left.max else controls.left.value * unit
        )
        return Scenario(controls.shift.value, left, controls.iv_scale.value)

    def _draw(self, snap: Snapshot, reading: Reading, target: float) -> None:
        shown = (snap.chain.name, snap.ts, snap.expiry, reading.structure, reading.quantity)
        if shown != self._drawn:
            self._drawn = shown
            self._revision += 1
            self.chart.reset(drawing.figure(snap, reading, target, self._revision))
            return
        for trace, values in drawing.moved(snap, reading).items():
            self.chart.update(trace, values)
        self.chart.relayout(drawing.marks(snap, reading, target))
        self.chart.flush()

    def _enable(self) -> None:
        """Disable what cannot apply, and say why: in the control's tooltip, and below the controls."""
        snap, reading, controls = self.snapshot, self.reading, self.controls
        assert snap is not None
        reasons = {
            "moment": "the chain is of one moment" if len(controls.moment.options) == 1 else "",
            "expiry": "the chain has one expiry" if len(controls.expiry.options) == 1 else "",
            "left": "" if snap.minutes > 0 else "no trading is left before it settles",
            "iv_scale": "" if len(snap.smile.strikes) else "no quote determines a volatility",
        }
        kind: Kind = controls.kind.value
        legs = len(RATIOS[kind])
        for i in range(LEGS):
            unused = "" if i < legs else f"a {kind.replace('_', ' ')} has {legs} strike{'s'[: legs > 1]}"
            wing = "a fly's far wing is as far as its near one" if kind == "fly" and i == 2 else ""
            none = "" if self._structure is not None else "too few strikes are listed"
            reasons[f"strike{i}"] = none or unused or wing
        for name in controls.fields():
            controls.disable(name, reasons.get(name, ""))
        chosen = None if reading is None else reading.selection.chosen
        built = reading is not None and chosen == reading.structure
        take = "no candidate passes" if chosen is None else "the winner is built already" if built else ""
        controls.reset.disabled = False
        controls.take.disabled, controls.take.tooltip = bool(take), take or "Builds the best candidate"
        told = []
        if self._unplaced:
            told.append(f"For the target there is no {self._unplaced}; near the money instead")
        told += [f"Fixed: {reason}" for reason in dict.fromkeys(reasons.values()) if reason]
        controls.note.value = "".join(f"<div>{escape(text)}.</div>" for text in told)

    def _blank(self, text: str) -> None:
        for name in ("figures", "exit", "firewall", "selection"):
            self.panels[name].value = panels.empty(text)
        self._drawn = None
        self.chart.reset(drawing.blank())

    def fail(self, error: BaseException) -> None:
        """Tell what went wrong: nothing fails in silence, and no old figure stays."""
        LOG.error("options lab: %s", error, exc_info=None if isinstance(error, MaxTraderError) else error)
        kind = "" if isinstance(error, MaxTraderError) else f"{type(error).__name__}: "
        self.snapshot = self.reading = None
        self.header.value, self.facts.value = panels.header(None, None), ""
        for name in self.controls.fields():
            if name not in ("chain", "moment", "expiry"):
                self.controls.disable(name, "there is no chain")
        self.controls.take.disabled = self.controls.reset.disabled = True
        self.controls.note.value = ""
        self._blank("No chain.")
        self.panels["quality"].value = panels.empty("No chain.")
        self.banner.value = panels.alert(f"{kind}{error}")

    # --- without a browser

    def picture(self) -> Any:
        """The chart as a plotly Figure that needs no kernel; errors as of `result`."""
        from plotly.graph_objects import Figure  # slow to import, and the page draws without it

        snap, reading, _ = self._shown()
        drawn = drawing.figure(snap, reading, self.controls.target.value)
        stamp = f"<b style='color:{theme.AMBER}'>{snap.chain.origin.upper()}</b>"
        title = f"{stamp} · {escape(snap.chain.name)} · {escape(reading.structure.label)}"
        figure = Figure(drawn["data"], drawn["layout"])
        return figure.update_layout(title={"text": title, "y": 0.97, "x": 0.01}, height=520, margin={"t": 88})

    def summary(self) -> str:
        """All tables as HTML that needs no kernel; errors as of `result`."""
        self._shown()
        parts = [self.header.value, self.facts.value, *(panel.value for panel in self.panels.values())]
        boxes = "".join(f"<div>{part}</div>" for part in parts)
        return f"<style>{theme.css()}{css()}</style><div class='mx-app mx-lab mx-static'>{boxes}</div>"

    def _shown(self) -> tuple[Snapshot, Reading, ChainReport]:
        if self.snapshot is None or self.reading is None or self.report is None:
            said = re.sub("<[^>]+>", "", self.banner.value or self.panels["figures"].value)
            raise DataError(f"options lab, chain {self.controls.chain.value!r}: {unescape(said)}")
        return self.snapshot, self.reading, self.report

    def result(self) -> dict[str, Any]:
        """What is shown, as plain JSON values: structure, figures, bounds, and the chain's provenance.

        Raises
        ------
        DataError
            If there is no structure on a chain to tell of, and why.
        """
        snap, reading, report = self._shown()
        return {
            "chain": {
                "source": self.controls.chain.value,
                "name": snap.chain.name,
                "origin": snap.chain.origin,
                "modelled": snap.modelled,
                "root": snap.chain.root,
                "moment": f"{new_york(snap.ts):%Y-%m-%d %H:%M:%S} New York",
                "expiry": str(from_ordinal(snap.expiry.day)),
                "minutes_left": snap.minutes,
                "spot": snap.spot,
                "forward": snap.forward.value,
                "rows_sha256": sha256(snap.chain.rows.tobytes()),
                "notes": list(snap.chain.notes),
                "quality": {check.name: check.count for check in report.checks},
            },
            **as_dict(snap, reading, self.controls.target.value),
            "code_version": code_version(),
        }


def css() -> str:
    """What the lab's page has besides the paper trader's, with the colours filled in."""
    text = files("maxlib.views").joinpath("options_lab.css").read_text()
    return Template(text).substitute(theme.COLOURS, sans=theme.SANS, mono=theme.MONO)


_LEGEND: Final = (
    f"<b>Profit and loss of the position, before commissions</b>"
    f"<span><i style='background:{theme.TEXT}'></i>at expiry</span>"
    f"<span><i style='background:{theme.BLUE}'></i>at the sliders</span>"
    f"<span><i style='background:{theme.VIOLET}66'></i>density of the chain</span>"
)


_STEPS: Final = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0)


def _clock(ts: int, times: Sequence[int]) -> str:
    days = "%-d %b " if new_york(times[0]).date() != new_york(times[-1]).date() else ""
    return f"{new_york(ts):{days}%H:%M}"


def _expiry(expires_at: int) -> str:
    """The date, and the hour if it is not the usual close."""
    when = new_york(expires_at)
    return f"{when:%a %-d %b %Y}{'' if when.hour == 16 else f', {when:%H:%M}'}"


def _round(reach: float) -> tuple[float, float]:
    """About `reach` as at most 60 round steps, and the step.

    All steps are exact in binary: a slider adds them up from its low end, and 0 must come out as 0.
    """
    step = next((step for step in _STEPS if reach / step <= 60), _STEPS[-1])
    return max(1, round(reach / step)) * step, step


def _among(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} {value!r} is not known; known are {', '.join(map(str, known))}")
