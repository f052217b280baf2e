"""Run one target for some time: `python -m quant_assets_tests.fuzz TARGET --seconds N`.

An input that fails, takes longer than SLOW_SECONDS or more memory than MAX_MB is written to the folder of
findings, and the exit code is not 0.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from quant_assets_tests.faults.seeding import SEED

TARGETS = ("candle_bytes", "api_bodies", "names", "user_files")
SLOW_SECONDS = 10
MAX_MB = 2048
MAX_INPUT = 8192
INSTRUMENTED = ["quant_assets", "tomllib"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m quant_assets_tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--findings", type=Path, help="folder for inputs that broke a promise; default: a new one")
    chosen = parser.parse_args()
    try:
        import atheris  # noqa: PLC0415 - the targets are tested where it is not installed
    except ImportError:
        sys.exit("atheris is not installed; pip install -e '.[fuzz]', best in an environment of its own")
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module(f"quant_assets_tests.fuzz.{chosen.target}")
    findings = chosen.findings or Path(tempfile.mkdtemp(prefix=f"{chosen.target}-findings-"))
    findings.mkdir(parents=True, exist_ok=True)
    print(f"seed {SEED}; findings go to {findings}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name)
        for place, seed in enumerate(target.SEEDS):
            (corpus / f"seed{place}").write_bytes(seed)
        words = corpus.with_suffix(".words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
        atheris.Setup(
            [
                *(sys.argv[0], str(corpus), f"-max_total_time={chosen.seconds}", f"-seed={SEED}", f"-dict={words}"),
                *(f"-artifact_prefix={findings}/", f"-timeout={SLOW_SECONDS}", f"-rss_limit_mb={MAX_MB}"),
                *(f"-max_len={MAX_INPUT}", "-print_final_stats=1"),
            ],
            target.check,
        )
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
