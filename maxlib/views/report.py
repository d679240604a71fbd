"""Pages that stand alone: an executed notebook as one HTML file, and the index over many.

A page asks no one for anything. That is not only a habit: its Content-Security-Policy
forbids every request, and of scripts lets run only the two whose hashes it names, so a
text that slipped through unescaped could neither act nor call home.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import plotly

from maxlib.views.tables import VERDICTS, css, esc, interval, money, share, tone

HIDDEN: Final = "notebook-only"
"""Cells with this tag are for the notebook's user and left out of the report."""

_PLOTLY: Final = "application/vnd.plotly.v1+json"
# Unpacks plotly.js once, then draws every figure; data-drawn tells tests (and printers) when it is done.
# Price charts count candles, so their time labels don't follow a zoom by themselves.
_BOOT: Final = """(async () => {
  const zoomed = (plot, labels, {tickvals, ticktext}) => event => {
    if (!Object.keys(event).some(key => key.startsWith("xaxis.range") || key === "xaxis.autorange")) return;
    const [from, to] = plot.layout.xaxis.range.map(Math.round);
    const far = {"xaxis.tickvals": tickvals, "xaxis.ticktext": ticktext};
    if (to - from > 400) return Plotly.relayout(plot, far);
    const prices = /high ([0-9.]+)<br>low ([0-9.]+)/;
    const seen = labels.slice(Math.max(0, from), to + 1).map(text => text.match(prices));
    if (!seen.length) return;
    const high = Math.max(...seen.map(m => +m[1])), low = Math.min(...seen.map(m => +m[2]));
    const pad = 0.15 * (high - low) || 1;
    const fit = "yaxis.range[0]" in event ? {} : {"yaxis.range": [low - pad, high + pad]};
    const at = [];
    for (let i = Math.max(0, from), step = Math.max(1, Math.ceil((to - from) / 8)); i <= to; i += step)
      if (labels[i]) at.push(i);
    const text = at.map(i => labels[i].split("<br>")[0].split(", ").reverse().join("<br>"));
    Plotly.relayout(plot, {"xaxis.tickvals": at, "xaxis.ticktext": text, ...fit});
  };
  const plots = [...document.querySelectorAll(".plot")];
  try {
    const packed = document.getElementById("plotly").textContent;
    const bytes = Uint8Array.from(atob(packed), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    for (const plot of plots) {
      const figure = JSON.parse(plot.querySelector("script").textContent);
      plot.replaceChildren();
      await Plotly.newPlot(plot, figure.data, figure.layout, {
        responsive: true, displaylogo: false,
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]]});
      const candles = figure.data.find(trace => trace.type === "candlestick");
      if (candles) plot.on("plotly_relayout", zoomed(plot, candles.hovertext, {...figure.layout.xaxis}));
      document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn || 0) + 1;
    }
  } catch (error) {
    for (const plot of plots) if (!plot.classList.contains("js-plotly-plot")) {
      const text = document.createElement("p");
      text.textContent = "This chart cannot be drawn: " + error;
      plot.replaceChildren(text);
    }
  }
})()"""


@lru_cache(1)
def _plotly_js() -> str:
    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@lru_cache(1)
def _packed() -> str:
    return base64.b64encode(gzip.compress(_plotly_js().encode(), 9, mtime=0)).decode()


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def page(notebook: Mapping[str, Any], title: str) -> str:
    """An executed notebook as one offline page: outputs and prose, without code.

    Parameters
    ----------
    notebook : nbformat 4 notebook
        Figures are expected as plotly's own MIME type, tables as HTML, both from maxlib
        (HTML outputs are taken as they are). What went to stderr is left out.
    title : str
        Of the browser's tab.

    Returns
    -------
    str
        About 2.1 MB, nearly all of it plotly.js, packed; a few kB without figures.
    """
    parts: list[str] = []
    for cell in notebook["cells"]:
        if HIDDEN in cell["metadata"].get("tags", ()):
            continue
        if cell["cell_type"] == "markdown":
            parts.append(_markdown(_text(cell["source"])))
        parts += [_output(output) for output in cell.get("outputs", ())]
    body = "\n".join(part for part in parts if part)
    if '<div class="plot"' not in body:
        return _page(title, body)
    return _page(title, f'{body}\n<script type="text/plain" id="plotly">{_packed()}</script>', _BOOT)


def _page(title: str, body: str, script: str = "", kind: str = "page") -> str:
    scripts = f"{_hash(script)} {_hash(_plotly_js())}" if script else "'none'"
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    run = f"<script>{script}</script>" if script else ""
    without = "<noscript><p>The charts of this page need JavaScript.</p></noscript>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="dark"><link rel="icon" href="data:,">'
        f"<title>{esc(title)}</title><style>{css()}</style></head>\n"
        f'<body class="{kind}"><main>{without}{body}</main>{run}</body></html>\n'
    )


def _markdown(text: str) -> str:
    # Not through nbconvert: it brings the same mistune, and two seconds of imports.
    import mistune

    return str(mistune.html(text)) if text.strip() else ""


def _output(output: Mapping[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return f"<pre>{esc(_text(output['text']))}</pre>" if output["name"] == "stdout" else ""
    if kind == "error":
        return f"<pre>{esc(output['ename'])}: {esc(output['evalue'])}</pre>"
    data = output["data"]
    if _PLOTLY in data:
        return _plot(data[_PLOTLY])
    if "text/html" in data:
        return _text(data["text/html"])
    if "text/markdown" in data:
        return _markdown(_text(data["text/markdown"]))
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{esc(_text(data["image/png"]).strip())}">'
    return f"<pre>{esc(_text(data.get('text/plain', '')))}</pre>"


def _plot(figure: Mapping[str, Any]) -> str:
    height = int(figure.get("layout", {}).get("height", 420))
    values = json.dumps({"data": figure["data"], "layout": figure.get("layout", {})}, separators=(",", ":"))
    # Inside a script element only "<" could end it; JSON may write it as an escape.
    values = values.replace("<", "\\u003c")
    return (
        f'<div class="plot" style="height:{height}px"><script type="application/json">{values}</script></div>'
    )


def _text(value: str | Sequence[str]) -> str:
    """Notebook text is one string, or a list of lines in files written by others."""
    return value if isinstance(value, str) else "".join(value)


# --- index


_COUNTED: Final = {
    "holds": "held", "does_not_hold": "did not hold", "no_claim": "without a claim",
    "refused": "refused by the placebo", "failed": "could not run",
}  # fmt: skip


def index_page(results: Sequence[Mapping[str, Any]]) -> str:
    """The overview over many scenarios: verdict, claims, data and a link to each report.

    Parameters
    ----------
    results : sequence of mappings
        The content of each `result.json` with `report`, the link to its page. A scenario that
        could not run has `scenario`, `verdict` "failed" and `message`, the sentence why;
        `report` is then an older one, or missing. `earlier` True = not of the newest run.
    """
    found = Counter(result["verdict"] for result in results)
    counts = [f"{found[verdict]} {words}" for verdict, words in _COUNTED.items() if found[verdict]]
    header = ("scenario", "verdict", "trades", "win rate", "P&L", "drawdown", "bars", "run")
    cells = "".join(f"<th scope=col>{esc(name)}</th>" for name in header)
    rows = "".join(_failed(r) if r["verdict"] == "failed" else _row(r) for r in results)
    body = (
        f'<div class="mt"><h1>Scenario reports</h1><p class="about">{esc(", ".join(counts) or "none")}. '
        "A scenario holds only if every figure that was claimed of it lies inside its bounds.</p>"
        f'<div class="box" style="max-height:none"><table class="index"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="small">First the measured figure, below it the claimed one: red where the measured lies '
        "outside the claim's bounds. Win rates carry their 95 % Wilson interval. Option prices are modelled "
        "in every row; rows stamped SIMULATED also ran on simulated bars.</p></div>"
    )
    return _page("MaxTrader: scenario reports", body, kind="page wide")


def _name(result: Mapping[str, Any]) -> str:
    words, colour = VERDICTS[result["verdict"]]
    label = esc(result.get("title", result["scenario"]))
    link = f'<a href="{esc(result["report"])}">{label}</a>' if result.get("report") else label
    earlier = "<small>from an earlier run</small>" if result.get("earlier") else ""
    return (
        f'<th scope=row>{link}<small>{esc(result["scenario"])}</small></th><td class="word {colour}">'
        f"{esc(words)}{earlier}</td>"
    )


def _failed(result: Mapping[str, Any]) -> str:
    older = " The linked report is an earlier one." if result.get("report") else ""
    return f'<tr>{_name(result)}<td class="why" colspan=6>{esc(result["message"])}{older}</td></tr>'


def _row(result: Mapping[str, Any]) -> str:
    m, claims, data = result["figures"], result["claims"]["figures"], result["data"]

    def cell(name: str, measured: str, claimed: str, colour: str = "") -> str:
        claim = claims.get(name)
        if claim is None:
            return f'<td><span class="{colour}">{esc(measured)}</span></td>'
        outside = "" if claim["inside"] else "bad"
        return (
            f'<td><span class="{colour}">{esc(measured)}</span><small class="{outside}">claimed '
            f"{esc(claimed)}</small></td>"
        )

    claimed = {name: claim["claimed"] for name, claim in claims.items()}
    tag = '<span class="tag warn">SIMULATED</span>' if data["simulated"] else '<span class="tag">REAL</span>'
    repeats = f"<br>{data['duplicates']:,} duplicates dropped" if data["duplicates"] else ""
    return (
        f"<tr>{_name(result)}"
        + cell("trades", f"{m['trades']:,}", f"{claimed.get('trades', 0):,.10g}")
        + cell("win_rate", interval(m), share(claimed.get("win_rate")))
        + cell("pnl_usd", money(m["pnl_usd"], sign=True), money(claimed.get("pnl_usd"), sign=True),
               tone(m["pnl_usd"]))
        + cell("max_drawdown_usd", money(m["max_drawdown_usd"]), money(claimed.get("max_drawdown_usd")))
        + f"<td>{tag}<small>{data['bars']:,} bars{repeats}</small></td>"
        f"<td>{result['seconds']:.2f} s<small>{esc(result['code_version'].split('+')[-1])}</small></td></tr>"
    )  # fmt: skip
