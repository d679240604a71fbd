"""A process number alone says little."""

import os
import subprocess
import sys
from pathlib import Path

from maxlib.ops.process import fate, identity, me, started


def test_this_process_is_alive_and_a_later_one_with_its_number_is_not_it() -> None:
    here = me()
    assert (here.pid, fate(here, here)) == (os.getpid(), "alive")
    reused = here.model_copy(update={"started": here.started - 1})
    assert fate(reused, here) == "dead"


def test_a_killed_process_is_dead_even_before_its_parent_took_note() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        who = identity(child.pid)
        assert who is not None
        assert fate(who, me()) == "alive"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
        assert Path(f"/proc/{child.pid}").exists()
        assert started(child.pid) is None
        assert fate(who, me()) == "dead"
    assert identity(child.pid) is None


def test_a_process_may_bear_any_name(tmp_path: Path) -> None:
    link = tmp_path / ") Z 1 ("
    link.symlink_to("/bin/sleep")
    with subprocess.Popen([link, "1000"]) as child:
        try:
            assert ") Z 1 (" in Path(f"/proc/{child.pid}/stat").read_text()
            assert started(child.pid) is not None
        finally:
            child.kill()


def test_what_ran_before_the_last_boot_is_dead_and_what_runs_elsewhere_is_not_seen() -> None:
    here = me()
    assert fate(here.model_copy(update={"boot_id": "older"}), here) == "dead"
    assert fate(here.model_copy(update={"boot_id": "other", "host": "elsewhere"}), here) == "unseen"
    assert fate(here.model_copy(update={"space": "pid:[1]"}), here) == "unseen"
