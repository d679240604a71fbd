"""The systemd unit: its commands are those of the program, and systemd has nothing to object to."""

import datetime as dt
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from maxlib.app import cli
from maxlib.app.commands.way import dated
from maxlib.market.calendar import session, to_ns
from maxlib.ops.supervision import Policy, Seen, State, decide

UNITS = Path(__file__).resolve().parents[2] / "configs" / "systemd"
HOME = "/opt/maxtrader"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def settings(unit: str) -> list[tuple[str, str]]:
    """All KEY=VALUE lines of a unit, in order."""
    lines = (UNITS / unit).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and line[0] not in "#[")
    return [(key, value) for key, value in pairs]


def value(name: str, unit: str = "maxtrader@.service") -> str:
    (found,) = [text for key, text in settings(unit) if key == name]
    return found


def command(line: str) -> list[str]:
    """An Exec line as words, for the instance paper_qqq."""
    return shlex.split(line.removeprefix("-").replace("%i", "paper_qqq").replace("%S", "/var/lib"))


OURS = [text for key, text in settings("maxtrader@.service") if f"{HOME}/.venv/bin/maxtrader" in text]


def test_the_unit_supervises_and_is_examined_before_and_reported_after() -> None:
    words = [command(line)[1] for line in OURS]
    assert words == ["doctor", "supervise", "report"]


@pytest.mark.parametrize("line", OURS)
def test_each_command_is_one_that_the_program_takes(line: str) -> None:
    program, name, *arguments = command(line)
    assert program == f"{HOME}/.venv/bin/maxtrader"
    group: Any = get_command(cli.app)
    context = group.commands[name].make_context(name, arguments)
    assert context.params


def test_doctor_supervisor_and_report_mean_the_same_folder_of_the_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctor, supervise, report = (command(line) for line in OURS)
    folder = supervise[supervise.index("--folder") + 1]
    assert doctor[doctor.index("--folder") + 1] == report[-1] == folder
    # 02:00 UTC on the 4th is the evening of the 3rd in New York
    monkeypatch.setattr(time, "time_ns", lambda: 1_743_732_000 * 10**9)
    assert str(dated(Path(folder))) == "/var/lib/maxtrader/paper_qqq-2025-04-03"


def test_what_the_supervisor_ends_with_when_it_gives_up_starts_nothing() -> None:
    gave_up = decide(Policy(), State(boot_id="b", phase="down"), Seen(10**18, False, 1, None, False))
    assert str(gave_up.code) in value("RestartPreventExitStatus").split()
    refused = decide(Policy(), State(boot_id="b", phase="up"), Seen(10**18, False, 2, None, False))
    assert str(refused.code) in value("RestartPreventExitStatus").split()
    assert value("Restart") == "on-failure"


@pytest.mark.parametrize("day", ["2025-04-04", "2025-04-05", "2025-04-18", "2025-11-28"])
def test_the_condition_is_the_calendars_word_on_today(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    date = dt.date.fromisoformat(day)
    python, flag, code = shlex.split(value("ExecCondition"))
    assert (python, flag) == (f"{HOME}/.venv/bin/python", "-c")
    monkeypatch.setattr(time, "time_ns", lambda: to_ns(date, 9 * 60))
    with pytest.raises(SystemExit) as left:
        exec(code, {})
    assert bool(left.value.code) is (session(date) is None)
    assert day in {"2025-04-05": "no", "2025-04-18": "no"} or session(date) is not None


def test_secrets_come_from_a_file_outside_of_the_project_only() -> None:
    assert value("EnvironmentFile") == "-/etc/maxtrader/secrets.env"
    assert not re.search(r"KEY|SECRET|URLS|CODE", value("Environment"))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as on a machine where the project is this one: what they name must be there."""
    project = tmp_path / "project"
    bin_ = project / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for name in ("maxtrader", "python"):
        (bin_ / name).write_text("#!/bin/sh\n")
        (bin_ / name).chmod(0o755)
    (project / "docs").mkdir()
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8").replace(HOME, str(project)))
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip


@needs_systemd
@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_has_nothing_to_object_to(installed: Path, kind: str) -> None:
    told = analyze("verify", "--man=no", str(installed / f"maxtrader@paper_qqq.{kind}"))
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


@needs_systemd
def test_systemd_does_object_to_a_setting_that_it_does_not_know(installed: Path) -> None:
    path = installed / "maxtrader@.service"
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMode=mixde"))
    told = analyze("verify", "--man=no", str(installed / "maxtrader@paper_qqq.service"))
    assert "kill mode" in told.stderr


@needs_systemd
def test_what_the_unit_may_do_is_little(installed: Path) -> None:
    """Exposure of at most 2.0 of 10, as systemd counts it."""
    path = str(installed / "maxtrader@.service")
    told = analyze("security", "--offline=true", "--threshold=20", "--no-pager", path)
    assert told.returncode == 0, told.stdout[-400:]
