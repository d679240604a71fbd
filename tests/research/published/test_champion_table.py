"""Model B: values worked out by hand from spec §5."""

import pytest

from maxlib.research.published.model_b import premium


@pytest.mark.parametrize(
    ("strike", "expected"),
    [
        (490, 5.0),  # 2 % in the money: 3 + 100 x 0.02
        (495, 4.0),  # 1 %: 3 + 1
        (497.5, 2.5),  # 0.5 %
        (500, 2.0),
        (502.5, 2.0),  # -0.5 % still counts as at the money
        (503, 1.2),
        (505, 1.2),  # -1 %
        (506, 0.6),
        (510, 0.6),  # -2 %
        (511, 0.2),
    ],
)
def test_table_at_the_open_with_the_spot_at_500(strike: float, expected: float) -> None:
    assert premium(500.0, strike, 0.0) == pytest.approx(expected, abs=1e-12)


def test_time_leaves_three_tenths_at_the_end_of_the_day_and_never_less() -> None:
    assert premium(500.0, 500.0, 195.0) == pytest.approx(2.0 * 0.65)
    assert premium(500.0, 500.0, 390.0) == pytest.approx(0.6)
    assert premium(500.0, 500.0, 100_000.0) == pytest.approx(0.6)
    assert premium(500.0, 500.0, -39.0) == pytest.approx(2.0 * 1.07), "before the open it is dearer still"


def test_premium_scales_with_the_spot_and_stops_at_a_nickel() -> None:
    assert premium(400.0, 400.0, 0.0) == pytest.approx(1.6)
    assert premium(100.0, 200.0, 390.0) == 0.05


def test_put_in_the_money_is_priced_as_a_call_out_of_it_unless_mirrored() -> None:
    assert premium(500.0, 505.0, 390.0) == pytest.approx(1.2 * 0.3), "$5 of intrinsic value for 36 cents"
    assert premium(500.0, 505.0, 390.0, side=-1) == pytest.approx(4.0 * 0.3)
