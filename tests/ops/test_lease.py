"""One trader per account, and the old one fenced before it may send."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.errors import DataError
from maxlib.ops import lease as module
from maxlib.ops.killswitch import KillSwitch
from maxlib.ops.lease import Lease, Refused, acquire, read_grant
from maxlib.ops.process import me
from maxlib.ops.watchdog import Watchdog
from tests.ops.fakes import NS, FakeClock

DEADLINE_S = 60.0


def had(outcome: Lease | Refused) -> Lease:
    assert isinstance(outcome, Lease), outcome
    return outcome


def refused(outcome: Lease | Refused) -> str:
    assert isinstance(outcome, Refused)
    return outcome.sentence


def may_send(lease: Lease) -> bool:
    with lease.sending() as no:
        return no is None


def why_not(lease: Lease) -> str:
    with lease.sending() as no:
        assert no is not None
        return no.sentence


def until(true: Callable[[], Any]) -> Any:
    """Wait for an event of another process."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


@contextmanager
def trader(path: Path, script: str) -> Iterator[subprocess.Popen[str]]:
    """Another process; `script` may use `lease`, `say` and `hear`."""
    head = (
        "import sys; from pathlib import Path; from maxlib.ops.lease import acquire\n"
        "say = lambda text: print(text, flush=True)\n"
        "hear = sys.stdin.readline\n"
        f"path = Path({str(path)!r})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", head + script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def say(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def test_the_second_trader_is_refused_in_a_sentence(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "lease.json"
    first = had(acquire(path, "alpha", clock=clock))
    clock.advance(10)
    assert refused(acquire(path, "alpha", clock=clock)) == (
        f"account alpha has a trader already: process {os.getpid()}, token 1, whose lease runs 20 s more"
    )
    assert may_send(first)


def test_tokens_rise_over_release_expiry_and_a_lost_file(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "lease.json"
    tokens = []
    for _ in range(3):
        lease = had(acquire(path, "alpha", clock=clock))
        tokens.append(lease.token)
        lease.release()
    tokens.append(had(acquire(path, "alpha", clock=clock)).token)
    clock.advance(31)
    tokens.append(had(acquire(path, "alpha", clock=clock)).token)
    path.unlink()
    tokens.append(had(acquire(path, "alpha", above=tokens[-1], clock=clock)).token)
    assert tokens == [1, 2, 3, 4, 5, 6]


def test_what_this_process_gave_back_is_free_though_a_full_disk_did_not_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise DataError(f"{path} cannot be written: No space left on device")

    lease = had(acquire(tmp_path / "lease.json", "alpha"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomic", full)
        lease.release()
    grant = read_grant(tmp_path / "lease.json")
    assert grant is not None
    assert not grant.released
    assert had(acquire(tmp_path / "lease.json", "alpha")).token == 2


def test_renewal_moves_the_expiry_but_not_the_token(tmp_path: Path) -> None:
    clock = FakeClock()
    lease = had(acquire(tmp_path / "lease.json", "alpha", clock=clock))
    for _ in range(10):
        clock.advance(29)
        assert lease.renew() is None
        assert may_send(lease)
    assert lease.token == 1


@pytest.mark.parametrize("how", ["awake", "suspended", "wall clock set back"])
def test_a_holder_that_was_away_past_expiry_is_fenced_though_nobody_came(tmp_path: Path, how: str) -> None:
    clock = FakeClock()
    lease = had(acquire(tmp_path / "lease.json", "alpha", clock=clock))
    clock.suspend(31) if how == "suspended" else clock.advance(31)
    if how == "wall clock set back":
        clock.wall -= 3600 * NS
    assert why_not(lease) == (
        "the lease on account alpha, token 1 ran out 1.0 s ago: reconcile under a new one"
    )
    assert lease.renew() is not None
    clock.boot -= 20 * NS  # whatever the clock says now: once fenced, for ever fenced
    assert not may_send(lease)


def test_the_old_holder_is_fenced_by_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    slow, fast = FakeClock(), FakeClock()
    old = had(acquire(path, "alpha", clock=slow))
    fast.advance(31)
    new = had(acquire(path, "alpha", clock=fast))
    # Even if the old one's clock stood still, the file tells.
    assert why_not(old) == "the lease on account alpha, token 1 was taken over: the newest token is 2"
    assert old.renew() is not None
    old.release()
    assert may_send(new)
    grant = read_grant(path)
    assert grant is not None
    assert (grant.token, grant.released) == (2, False)


def test_a_lease_whose_file_is_gone_or_torn_sends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    lease = had(acquire(path, "alpha"))
    path.write_text('{"tok')
    assert why_not(lease) == f"{path} is not a lease"
    assert refused(acquire(path, "alpha")) == (
        f"account alpha: {path} is not a lease; remove it once no trader runs"
    )
    path.unlink()
    other = had(acquire(path, "alpha"))
    path.unlink()
    assert "is gone" in why_not(other)


def test_a_dead_holders_number_given_to_another_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    had(acquire(path, "alpha"))
    grant = read_grant(path)
    assert grant is not None
    # This very number is alive, but started at another time.
    stale = grant.model_copy(update={"who": me().model_copy(update={"started": 1})})
    path.write_text(stale.model_dump_json())
    assert had(acquire(path, "alpha")).token == 2


def test_a_holder_on_another_machine_is_believed_until_its_wall_clock_expiry(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "lease.json"
    had(acquire(path, "alpha", clock=clock))
    grant = read_grant(path)
    assert grant is not None
    elsewhere = grant.who.model_copy(update={"boot_id": "other", "host": "elsewhere"})
    path.write_text(grant.model_copy(update={"who": elsewhere}).model_dump_json())
    clock.boot += 10**6 * NS  # says nothing of the other machine
    assert "on elsewhere" in refused(acquire(path, "alpha", clock=clock))
    clock.wall += 31 * NS
    assert had(acquire(path, "alpha", clock=clock)).token == 2


def test_a_renewal_that_cannot_be_written_leaves_the_old_term(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str) -> None:
        raise DataError(f"{path} cannot be written: No space left on device")

    clock = FakeClock()
    lease = had(acquire(tmp_path / "lease.json", "alpha", clock=clock))
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_atomic", full)
        clock.advance(20)
        no = lease.renew()
        assert no is not None
        assert "No space left" in no.sentence
        assert may_send(lease)
        clock.advance(10)  # the first term is over, and others can only read that one
        assert not may_send(lease)


def test_a_place_that_cannot_be_written_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for use in (
        lambda folder: acquire(folder / "lease.json", "alpha"),
        lambda folder: KillSwitch(folder / "kill.json"),
        Watchdog,
    ):
        with pytest.raises(DataError, match="cannot be written: Not a directory"):
            use(tmp_path / "file" / "var")


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    with ThreadPoolExecutor(8) as pool:
        for turn in range(1, 11):
            outcomes = list(pool.map(lambda _: acquire(path, "alpha"), range(8)))
            won = [o for o in outcomes if isinstance(o, Lease)]
            assert [w.token for w in won] == [turn]
            won[0].release()


def test_sends_of_one_trader_may_overlap_and_a_renewal_too(tmp_path: Path) -> None:
    lease = had(acquire(tmp_path / "lease.json", "alpha"))
    began = asyncio.Barrier(3)

    async def send() -> bool:
        with lease.sending() as no:
            await began.wait()  # all three are within
            return no is None and lease.renew() is None

    async def both() -> list[bool]:
        return await asyncio.gather(*(send() for _ in range(3)))

    assert asyncio.run(both()) == [True, True, True]
    lease.release()
    assert not may_send(lease)
    assert had(acquire(tmp_path / "lease.json", "alpha")).token == 2


def test_a_lease_given_back_in_mid_send_is_held_until_the_order_is_out(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    lease = had(acquire(path, "alpha"))
    with lease.sending() as no:
        assert no is None
        lease.release()
        lease.release()
        assert "sending an order" in refused(acquire(path, "alpha"))
        assert "was given back" in why_not(lease)  # and this look lets go of nothing
        assert "sending an order" in refused(acquire(path, "alpha"))
    grant = read_grant(path)
    assert grant is not None
    assert grant.released
    assert had(acquire(path, "alpha")).token == 2


HOLD = "lease = acquire(path, 'alpha', ttl_s=60)\nsay(lease.token)\nhear()\n"


def test_a_second_process_is_refused_until_kill_9_frees_the_account(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    with trader(path, HOLD) as first:
        assert hear(first) == "1"
        no = acquire(path, "alpha")
        assert f"process {first.pid}, token 1" in refused(no)
        assert isinstance(no, Refused)
        assert no.elsewhere
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        assert had(acquire(path, "alpha")).token == 2  # at once, 60 s before it would run out


def test_a_process_paused_past_expiry_finds_itself_fenced(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    script = (
        "lease = acquire(path, 'alpha', ttl_s=1)\nsay(lease.token)\nhear()\n"
        "with lease.sending() as no: say(no and no.sentence)\n"
        "say(lease.renew() is None)\n"
    )
    with trader(path, script) as old:
        assert hear(old) == "1"
        os.kill(old.pid, signal.SIGSTOP)
        say(old)
        new = until(lambda: got if isinstance(got := acquire(path, "alpha"), Lease) else None)
        assert new.token == 2
        os.kill(old.pid, signal.SIGCONT)
        assert "token 1 ran out" in hear(old)
        assert hear(old) == "False"
        assert may_send(new)


def test_nobody_takes_over_from_a_process_paused_in_the_middle_of_a_send(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    script = (
        "lease = acquire(path, 'alpha', ttl_s=0.5)\n"
        "with lease.sending() as no:\n  say(no is None)\n  hear()\n  say('sent')\nhear()\n"
    )
    with trader(path, script) as old:
        assert hear(old) == "True"
        os.kill(old.pid, signal.SIGSTOP)
        grant = read_grant(path)
        assert grant is not None
        until(lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) > grant.expires_boot_ns)
        # It has run out, but the order may be half out of the door.
        assert "sending an order or has stopped in the middle of one" in refused(acquire(path, "alpha"))
        os.kill(old.pid, signal.SIGKILL)
        os.waitid(os.P_PID, old.pid, os.WEXITED | os.WNOWAIT)
        assert had(acquire(path, "alpha")).token == 2


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["acquire", "renew", "release", "send", "wait"]), st.integers(0, 2)),
    max_size=40,
)


@given(OPERATIONS)
def test_never_do_two_traders_hold_the_right_to_send(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int]]
) -> None:
    clock = FakeClock()
    path = tmp_path_factory.mktemp("lease") / "lease.json"
    leases: dict[int, Lease] = {}
    tokens = []
    for what, who in operations:
        if what == "wait":
            clock.advance((5, 14, 31)[who])
        elif what == "acquire":
            if isinstance(lease := acquire(path, "alpha", clock=clock), Lease):
                leases[who] = lease
                tokens.append(lease.token)
        elif who in leases:
            {"renew": leases[who].renew, "release": leases[who].release}.get(what, lambda: None)()
        able = [lease.token for lease in leases.values() if may_send(lease)]
        assert len(able) <= 1
        assert not able or able == tokens[-1:]
    assert tokens == sorted(set(tokens))
