"""The slow sweep of `make verify`: every shipped scenario, cut at 200 points."""

import pytest

from maxlib.data.tape import load as load_tape
from maxlib.research import scenario
from maxlib.research.audit import audit


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario.names())
def test_two_hundred_cuts_rewrite_nothing(name, request):
    one = scenario.load(name)
    if one.data.source == "file":
        request.getfixturevalue("shared")  # skips with a reason where the real bars are absent
    found = audit(load_tape(one.data).bars, one.strategy.build(), one.machine, cuts=200)
    assert (found.cuts, found.rewritten) == (200, 0), found.examples
    assert found.journal_entries > 0
