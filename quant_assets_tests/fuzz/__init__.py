"""Inputs that are looked for by coverage: one target a file, and a runner, `python -m quant_assets_tests.fuzz`.

A target has `check(data)`, which takes any bytes and raises where a promise is broken; `SEEDS`, inputs to start from,
those among them that once broke a promise; and `WORDS`, pieces that chance alone would take long to hit upon.
`test_targets.py` puts the seeds and bytes of hypothesis through every check, which needs nothing more than the tests
do. The runner needs atheris: `pip install -e '.[fuzz]'`, in an environment of its own, since it is no part of the
project and of `requirements.lock`.
"""
