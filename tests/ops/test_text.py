"""Texts that leave the machine: no secrets, no tricks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlib.ops.text import MASK, Masker, no_markdown, plain, trim, unpinged

ENVIRONMENT = {
    "ALPACA_SECRET_KEY": "s3cr3tvalue/with+signs",
    "MASSIVE_API_KEY": "abcdefghijklmnop",
    "MAXTRADER_NOTIFY_URLS": "pover://userkey123@apptoken456/phone1?priority=emergency "
    "https://discord.com/api/webhooks/1111111111/WebHook_Token-1",
    "MAXTRADER_KILL_RESET_CODE": "correct-horse",
    "HOME": "/home/trader",
    "API_TOKEN": "abc",
}
SECRETS = [
    "s3cr3tvalue/with+signs", "abcdefghijklmnop", "userkey123", "apptoken456", "1111111111",
    "WebHook_Token-1", "correct-horse",
]  # fmt: skip
MASK_ALL = Masker.from_environment(ENVIRONMENT)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_of_the_environment_is_masked_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"a{secret}b", f"POST /api/{secret}/x failed", f"x={secret}&y={secret}"):
        assert secret not in MASK_ALL(text)


def test_ordinary_words_of_an_alert_stay() -> None:
    text = "emergency: QQQ PARAMETERS webhooks abc, priority 2, discord.com, /home/trader, token 7 sent 12:00"
    assert MASK_ALL(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET https://api.example.com/v2/x?apiKey=42", f"GET https://api.example.com/{MASK}"),
        ("at https://user:pass@example.com", f"at https://{MASK}@example.com"),
        ("pover://abc@def/dev", f"pover://{MASK}"),
        ("{'api_key': 'zzz', 'n': 1}", f"{{'api_key': {MASK}', 'n': 1}}"),
        ("Authorization: Bearer ab.cd.ef", f"Authorization: {MASK}"),
        ("sent bearer abcdefgh12", f"sent bearer {MASK}"),
        ("password=hunter2;x", f"password={MASK};x"),
        ("key PKABCDEFGHIJKLMNOP12 of PA3XYZ12345", f"key {MASK} of {MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_masked_though_unknown(text: str, masked: str) -> None:
    assert Masker()(text) == masked


@given(st.text(max_size=200))
def test_no_control_format_or_surrogate_character_survives(text: str) -> None:
    left = plain(text)
    left.encode()  # no half of a pair
    assert not set(left) & {chr(c) for c in (*range(10), *range(11, 32), 127, 0x202E, 0x2066, 0x200B, 0xFEFF)}
    assert left == plain(left)


@pytest.mark.parametrize("ping", ["@everyone", "@here", "<@123>", "<@!123>", "<#1>", "<@&9>", "<!channel>"])
def test_no_text_can_call_anybody(ping: str) -> None:
    assert ping not in unpinged(f"broker says {ping} now")
    assert unpinged("2 @ 1.05 <b>") == "2 @ 1.05 <b>"


def test_markdown_is_shown_not_obeyed() -> None:
    assert no_markdown("[x](y) `z` #1 \\*") == "\\[x\\](y) \\`z\\` \\#1 \\\\\\*"


@pytest.mark.parametrize(
    ("length", "limit", "kept"), [(1024, 1024, 1024), (1025, 1024, 1024), (3, 1, 1), (3, 0, 0)]
)
def test_trimming_counts_code_points(length: int, limit: int, kept: int) -> None:
    for letter in "x😀":
        short = trim(letter * length, limit)
        assert len(short) == kept
        assert short.endswith("…") == (length > limit > 0)
