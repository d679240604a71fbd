import datetime as dt
from typing import Any

import pytest

from maxlib.core.config import parse
from maxlib.core.errors import ConfigError
from maxlib.data import DataConfig


def test_a_source_must_be_named() -> None:
    with pytest.raises(ConfigError, match="data: source is missing"):
        parse(DataConfig, {}, "data")


def test_dates_are_read_from_text() -> None:
    config = parse(DataConfig, {"source": "simulator", "start": "2025-01-02"}, "data")
    assert config.start == dt.date(2025, 1, 2)
    assert not config.allow_incomplete


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"source": "file"}, 'source "file" needs a path, but path is None'),
        (
            {"source": "catalog", "path": "a.csv"},
            'path \'a.csv\' needs source "file", but source is "catalog"',
        ),
        ({"source": "catalog", "zone": "UTC"}, 'zone "UTC" needs source "file", but source is "catalog"'),
        ({"source": "simulator", "stamped": "end"}, 'stamped "end" needs source "file"'),
        (
            {"source": "catalog", "simulator": {"market": "calm", "seed": 3}},
            'simulator (market "calm", seed 3) needs source "simulator", but source is "catalog"',
        ),
        (
            {"source": "catalog", "start": "2025-02-01", "end": "2025-01-31"},
            "start 2025-02-01 is after end 2025-01-31",
        ),
        ({"source": "file", "path": "a", "zone": "Mars/Olympus"}, 'zone: should be "auto" or an IANA zone'),
        ({"source": "file", "path": "a", "zone": "../etc/passwd"}, 'zone: should be "auto" or an IANA zone'),
        ({"source": "catalog", "symbol": "../x"}, "symbol: "),
        ({"source": "catalog", "symbols": "QQQ"}, "symbols is not a known field"),
        ({"source": "massive"}, "source: should be 'file', 'simulator' or 'catalog' (got 'massive')"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_both_values(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(DataConfig, values, "data")
    assert sentence in str(caught.value)
