"""What the pages in docs/ say and the code must bear out.

`python -m tests.docs.pages` writes the tables of fields and the printed outputs anew.
Marks in a page, each on a line of its own:

* `<!-- run -->` before a Python block: it is executed, the blocks of a page in one namespace;
* `<!-- run: real -->`: likewise, but it needs the folder of real data;
* `<!-- prints -->` before a text block: what the block before it prints;
* `<!-- fields module.Config -->` before a table: the fields of that config;
* `<!-- NAME -->` before any other table that a test reads.
"""

import contextlib
import io
import os
import re
import tempfile
import types
import typing
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import annotated_types as at
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HH_MM = r"^([01]\d|2[0-3]):[0-5]\d$"

RUN = re.compile(
    r"^<!-- run(?P<real>: real)? -->\n```python\n(?P<code>.*?)^```\n"
    r"(?:\n*<!-- prints -->\n```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
TABLE = re.compile(r"^<!-- (?P<name>[^\n]+?) -->\n(?P<table>(?:\|[^\n]*\n)+)", re.MULTILINE)


def names() -> list[str]:
    """File names of all pages."""
    return sorted(path.name for path in DOCS.glob("*.md"))


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# --- blocks


class Block(NamedTuple):
    code: str
    prints: str | None
    real: bool


def blocks(text: str) -> list[Block]:
    return [Block(m["code"], m["prints"], m["real"] is not None) for m in RUN.finditer(text)]


def execute(text: str) -> list[str]:
    """What each runnable block of a page prints."""
    scope: dict[str, Any] = {"__name__": "__main__"}  # as in a notebook
    printed = []
    for block in blocks(text):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.code, "<docs>", "exec"), scope)
        printed.append(out.getvalue())
    return printed


# --- tables


def tables(text: str) -> dict[str, list[list[str]]]:
    """The marked tables of a page: name -> body rows, cell by cell."""
    return {m["name"]: _cells(m["table"]) for m in TABLE.finditer(text)}


def _cells(table: str) -> list[list[str]]:
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]


def config(dotted: str) -> type[BaseModel]:
    module, _, name = dotted.rpartition(".")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found


def field_rows(kind: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Field, what it may be, and its default, as a reader of YAML would write them."""
    return [
        (f"`{name}`", _allowed(info.annotation, info.metadata), _default(info))
        for name, info in kind.model_fields.items()
    ]


def _default(info: Any) -> str:
    value = info.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value in ((), ""):
        return "empty"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _allowed(hint: Any, metadata: list[Any]) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _allowed(arguments[0], [*metadata, *arguments[1:]])
    if origin in (typing.Union, types.UnionType):
        parts = [a for a in arguments if a is not type(None)]
        text = " or ".join(dict.fromkeys(_allowed(part, metadata) for part in parts))
        return f"{text}{',' if ',' in text else ''} or null" if len(parts) < len(arguments) else text
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is tuple:
        return "list of texts" if arguments[0] is str else f"list of {_allowed(arguments[0], [])}"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "group"
    if hint is bool:
        return "true, false"
    if hint is str:
        return _text(metadata)
    word = {int: "whole number", float: "number"}.get(hint, getattr(hint, "__name__", str(hint)))
    bounds = _bounds(metadata)
    return f"{word} {bounds}" if bounds else word


def _text(metadata: list[Any]) -> str:
    pattern = next((m.pattern for m in metadata if getattr(m, "pattern", None)), None)
    if pattern == HH_MM:
        return "HH:MM"
    if pattern:
        return f"text like `{pattern}`"
    return "text, not empty" if any(isinstance(m, at.MinLen) for m in metadata) else "text"


_BOUNDS = (
    (at.Ge, "ge", "at least"),
    (at.Gt, "gt", "above"),
    (at.Le, "le", "at most"),
    (at.Lt, "lt", "below"),
)


def _bounds(metadata: list[Any]) -> str:
    found = {type(m): m for m in metadata if isinstance(m, (at.Ge, at.Gt, at.Le, at.Lt))}
    words = [
        f"{word} {getattr(found[kind], name):,}".removesuffix(".0")
        for kind, name, word in _BOUNDS
        if kind in found
    ]
    return ", ".join(words)


def renewed(text: str) -> str:
    """The page with its tables of fields and its outputs made anew; meanings are kept."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        if not name.startswith("fields "):
            return match[0]
        kept = {row[0]: row[-1] for row in _cells(match["table"])}
        lines = ["| field | may be | default | meaning and unit |", "|---|---|---|---|"]
        for row in field_rows(config(name.split()[1])):
            cells = [*row, kept.get(row[0], "TODO")]
            lines += [f"| {' | '.join(cells)} |"]
        return f"<!-- {name} -->\n" + "\n".join(lines) + "\n"

    text = TABLE.sub(table, text)
    printed = iter(execute(text))

    def block(match: re.Match[str]) -> str:
        out = next(printed)
        if match["prints"] is None:
            return match[0]
        return match[0].replace(f"```text\n{match['prints']}```", f"```text\n{out}```")

    return RUN.sub(block, text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Examples are no trials: they must not stand in the user's ledger.
        os.environ["MAXTRADER_TRIALS"] = str(Path(folder) / "trials.sqlite")
        for name in names():
            before = read(name)
            after = renewed(before)
            if after != before:
                (DOCS / name).write_text(after, encoding="utf-8")
                print(f"docs/{name} was renewed")


if __name__ == "__main__":
    main()
