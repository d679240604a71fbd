"""A line of the check: pass, fail or not used, and a sentence with the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from maxlib.core.errors import MaxTraderError
from maxlib.ops.text import Masker, plain

State = Literal["pass", "fail", "not used"]


class Line(NamedTuple):
    """One check.

    Attributes
    ----------
    check : its name
    state : "not used" = there is nothing to be checked, or it cannot be asked, which the text says;
        never a doubt that was given away
    text : one sentence without secrets
    """

    check: str
    state: State
    text: str


Found = tuple[State, str]


def ask(check: str, question: Callable[[], Found], masker: Masker) -> Line:
    """Carry out a check. Whatever it raises is a failure of its line, and the next check follows."""
    try:
        state, text = question()
    except MaxTraderError as error:
        state, text = "fail", str(error)
    except Exception as error:  # noqa: BLE001 - a doctor that dies at the first illness tells of no other
        state, text = "fail", f"unexpected {type(error).__name__}: {error}"
    return Line(check, state, " ".join(plain(masker(text)).split()))


def table(lines: list[Line]) -> str:
    """All lines, aligned, and the count."""
    wide = max(len(line.check) for line in lines)
    rows = [f"{line.state:<8}  {line.check:<{wide}}  {line.text}" for line in lines]
    return "\n".join([*rows, summary(lines)])


def summary(lines: list[Line]) -> str:
    """How many of each."""
    counts = {state: sum(line.state == state for line in lines) for state in ("pass", "fail", "not used")}
    return ", ".join(f"{count} {state}" for state, count in counts.items())
