"""Fuzz target: candle files. The bytes give valid bars, or an error of one line.

Run it by `python -m quant_assets_tests.fuzz candle_bytes --seconds 60`, where atheris is installed
(`pip install -e '.[fuzz]'`).
"""

from __future__ import annotations

import numpy as np

from quant_assets.candles.bar_cleaning import FIELDS, FileBars
from quant_assets.candles.bar_parsing import parse_bars
from quant_assets.candles.candle_file import CandleFileError

STEP_MS = 900_000
BAR = b'{"time":1768752000000,"open":10,"high":12.5,"low":9,"close":11,"volume":3}'
NEXT = b'{"time":"1768752900000","open":"10","high":"1.25e1","low":"9","close":"11","volume":"0"}'

WORDS = (
    *(b'"%s":' % field.encode() for field in FIELDS),
    *(b'"data":', b"1768752000000", b"1768752000", b"null", b"true", b"NaN", b"1e400", b"-0", b'"nan"', b'"1_0"'),
    *(b"\\ud800", b"\xef\xbb\xbf", b"\xff\xfe", b"},{", b"[[[[[[[["),
)
SEEDS = (
    b"",
    b"[%s]" % BAR,
    b"[%s,%s]" % (BAR, NEXT),
    b'{"data":[%s,%s]}' % (NEXT, BAR),
    b"[%s,%s]" % (BAR, BAR.replace(b'"low":9', b'"low":-9')),
    b"[%s,%s]" % (BAR.replace(b"1768752000000", b"1768752000"), NEXT),
    b"\xef\xbb\xbf[%s]" % BAR,
    f"[{BAR.decode()}]".encode("utf-16"),
    b"[%s" % BAR[:-20],
    b"[%s]" % BAR.replace(b"}", b',"more":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
    b"[" * 900,
)


def check(data: bytes) -> None:
    """Check bytes as a candle file, alone and as the `data` of an object."""
    found = read(data)
    wrapped = read(b'{"data":%s}' % data)
    if found is not None and wrapped is not None:
        assert np.array_equal(found.columns, wrapped.columns), "an object that holds the bars is read otherwise"
        assert (found.dropped, found.note, found.gaps) == (wrapped.dropped, wrapped.note, wrapped.gaps)


def read(data: bytes) -> FileBars | None:
    """Return the valid bars, or None where the file is rejected with a proper reason."""
    try:
        found = parse_bars(data, STEP_MS)
    except CandleFileError as error:
        reason = str(error)
        assert reason, "no reason"
        assert len(reason) < 300, "a reason is one line"
        assert reason.isprintable(), "a reason can be shown"
        return None
    time, opening, high, low, close, volume = found.columns
    assert np.isfinite(found.columns).all()
    assert len(time) > 0
    assert (np.diff(time) > 0).all(), "each time once, in order"
    assert (time % STEP_MS == 0).all()
    assert (low > 0).all()
    assert (volume >= 0).all()
    assert ((low <= opening) & (opening <= high) & (low <= close) & (close <= high)).all()
    assert found.gaps == (np.diff(time) > STEP_MS).sum()
    assert (found.dropped > 0) <= bool(found.note), "what is left out is told"
    return found
