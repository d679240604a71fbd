"""Canonical bytes, records, configs, files."""

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.core.canonical import canonical, sha256
from maxlib.core.config import Config, config_hash, parse
from maxlib.core.errors import ConfigError, DataError, InvariantError, MaxTraderError, QualityError
from maxlib.core.files import write_atomic
from maxlib.core.record import Floats, Int8, Int16, Int32, Ints, Record


def test_canonical_text_sorts_keys_and_keeps_unicode() -> None:
    assert canonical({"b": [1, 2.5, None, True], "a": "σ"}) == '{"a":"σ","b":[1,2.5,null,true]}'


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": bad})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_to_the_same_double(x: float) -> None:
    import json

    back = json.loads(canonical([x]))[0]
    assert np.float64(back).tobytes() == np.float64(x).tobytes()


def test_sha256_of_the_empty_text_and_of_abc() -> None:
    assert sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        sha256("abc") == sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_record_is_an_aligned_dtype_of_its_annotations() -> None:
    class Inner(Record):
        flag: bool
        x: float

    class Outer(Record):
        a: int
        small: Int8
        short: Int16
        medium: Int32
        inner: Inner
        xs: Annotated[Floats, 3]
        ns: Annotated[Ints, 2]
        many: Annotated[Inner, 2]

    assert Outer.dtype.names == ("a", "small", "short", "medium", "inner", "xs", "ns", "many")
    assert [Outer.dtype[n].str for n in ("a", "small", "short", "medium")] == ["<i8", "|i1", "<i2", "<i4"]
    assert (Inner.dtype.itemsize, Inner.dtype.isalignedstruct) == (16, True)
    assert (Outer.dtype["xs"].shape, Outer.dtype["many"].shape) == ((3,), (2,))
    assert Outer.dtype["many"].base == Inner.dtype


@pytest.mark.parametrize("hint", [str, list[int], Annotated[Floats, 0], Annotated[str, 3], dict])
def test_a_field_that_is_not_flat_is_refused_by_name(hint: Any) -> None:
    with pytest.raises(TypeError, match=r"Wrong\.field"):
        type("Wrong", (Record,), {"__annotations__": {"field": hint}})


class Sample(Config):
    n: int = 1
    x: float = 0.5


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"m": 1}, "file.yaml: m is not a known field"),
        ({"n": "many"}, "file.yaml: n: "),
        ({"x": math.nan}, "file.yaml: x: "),
        ({"n": "a", "x": "b"}, "1 more"),
    ],
)
def test_a_bad_config_is_one_sentence_that_names_file_and_field(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Sample, values, "file.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_configs_are_frozen_and_equal_settings_have_equal_hashes() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample().n = 2  # type: ignore[misc]
    assert config_hash(Sample()) == config_hash(Sample(n=1, x=0.5))
    assert config_hash(Sample()) != config_hash(Sample(n=2))


def test_the_tree_of_errors() -> None:
    assert issubclass(QualityError, DataError)
    assert all(issubclass(e, MaxTraderError) for e in (ConfigError, DataError, InvariantError))


def test_an_atomic_write_replaces_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["state.json"]


def test_an_atomic_write_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "state.json", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_atomic(tmp_path / "folder", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
