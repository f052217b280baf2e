"""Texts of other code's errors keep no key."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from quant_assets.common.text import hide_secrets

KEY = "s3cr3t-k%41y'w\"ith\\odd&ones"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("401 for url: https://api.example.com:8443/v1/oi?api_key=abc", "401 for url: https://api.example.com:8443/…"),
        (
            "Max retries exceeded with url: /v1/oi?api_key=abc (Caused by X)",
            "Max retries exceeded with url: … (Caused by X)",
        ),
        ("cannot post to 'https://hooks.slack.com/services/T0/B0/abc'", "cannot post to https://hooks.slack.com/…"),
        ("no host in http://user:abc@example.com/x", "no host in …"),
        ("sent a b&api_key=abc", "sent a …"),
        ("see /login?next=https://abc", "see …"),
        ("expected 20 symbols, not 21: 'A', 'B'", "expected 20 symbols, not 21: 'A', 'B'"),
    ],
)
def test_address_is_shown_without_path_and_query(text: str, shown: str) -> None:
    assert hide_secrets(text, {}) == shown


@pytest.mark.parametrize("form", [KEY, quote(KEY), quote(KEY, safe=""), repr(KEY)[1:-1]])
def test_value_of_an_environment_variable_is_hidden(form: str) -> None:
    assert "s3cr3t" not in hide_secrets(f"invalid header value: [{form}]", {"EXAMPLE_KEY": f" {KEY} "})
    assert "plain-key" not in hide_secrets("bad key 'plain-key'", {"EXAMPLE_KEY": "plain-key"})


def test_short_value_of_an_environment_variable_hides_no_words() -> None:
    assert hide_secrets("1 of 20 failed", {"SHLVL": "1", "COUNT": "20"}) == "1 of 20 failed"
