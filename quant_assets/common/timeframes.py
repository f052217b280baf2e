"""The timeframes that signals use."""

from __future__ import annotations

from typing import Final

#: The lower and the higher timeframe.
LTF: Final = "15m"
HTF: Final = "4h"
#: Timeframe -> length of a bar in milliseconds.
STEP_MS: Final = {LTF: 15 * 60_000, HTF: 4 * 3_600_000}
