"""Fuzzing guided by coverage: one target per file, and a runner, `python -m quant_assets_tests.fuzz`.

A target has `check(data)`, which takes any bytes and raises where a promise is broken; `SEEDS`, inputs to start from
(including those that once broke a promise); and `WORDS`, fragments that random changes would rarely produce.
`test_targets.py` runs every check on the seeds and on bytes of hypothesis, which needs nothing more than the tests
do. The runner needs atheris: `pip install -e '.[fuzz]'`, in an environment of its own, since atheris is not in
`requirements.lock`.
"""
