"""Faulty responses: broken connections, server errors, and invalid bodies."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace

from quant_assets_tests.providers.coinalyze.scripted import Canned

Corruption = Callable[[Canned], Canned]


def _half(answer: Canned) -> bytes:
    return answer.body[: len(answer.body) // 2]


#: Each is a transient error: the client retries.
FAULTY_RESPONSES: Mapping[str, Corruption] = {
    "500": lambda _: Canned(500, b'{"message": "Internal Server Error"}'),
    "502": lambda _: Canned(502, b"<html>bad gateway</html>"),
    "503": lambda _: Canned(503, b""),
    "504": lambda _: Canned(504, b"<html>time-out</html>"),
    "reset before a byte": lambda _: Canned(ending="early reset"),
    "reset in the middle": lambda answer: replace(answer, body=_half(answer), length=len(answer.body), ending="reset"),
    "closed without a word": lambda _: Canned(ending="closed"),
    "no answer in time": lambda _: Canned(ending="silent"),
    "body cut": lambda answer: replace(answer, body=_half(answer), length=len(answer.body)),
    "half of the JSON": lambda answer: replace(answer, body=_half(answer)),
    "broken gzip": lambda answer: replace(
        answer, body=gzip.compress(answer.body)[:-12] + b"\0" * 12, headers={"Content-Encoding": "gzip"}
    ),
    "gzip that is none": lambda answer: replace(answer, headers={"Content-Encoding": "gzip"}),
    "HTML": lambda answer: replace(answer, body=b"<html>maintenance</html>"),
    "an object": lambda answer: replace(answer, body=b'{"message": "try again"}'),
    "null": lambda answer: replace(answer, body=b"null"),
    "nothing": lambda answer: replace(answer, body=b""),
    "NaN in the JSON": lambda answer: replace(answer, body=answer.body.replace(b'"t":', b'"x":NaN,"t":', 1)),
    "other fields": lambda answer: replace(answer, body=answer.body.replace(b'"history"', b'"points"')),
    "other points": lambda answer: replace(answer, body=answer.body.replace(b'"t":', b'"time":')),
    "symbols of somebody else": lambda answer: replace(answer, body=answer.body.replace(b"USDT_PERP", b"USDC_PERP")),
}
