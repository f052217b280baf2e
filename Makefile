# Everything a new machine needs besides Python 3.11 or later and make is set up by `make setup`, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOMAIN := quant_assets/providers/*,quant_assets/candles/*,quant_assets/storage/*,quant_assets/markets/*,quant_assets/derivatives/*,quant_assets/signals/*,quant_assets/feed/*,quant_assets/dashboard/*

.PHONY: help setup demo serve ui test lint types tests coverage speed chaos fuzz soak bench pictures audit lock clean

help:
	@echo "make demo   scan a simulated market, from nothing"
	@echo "make serve  the dashboard on http://127.0.0.1:3000 (PORT=3000)"
	@echo "make ui     Dagster's UI on http://127.0.0.1:3001 (PORT=3001)"
	@echo "make test   lint, types, tests and coverage"
	@echo "make chaos  the fault suite in its long form (SEED=1)"
	@echo "make fuzz   look for inputs that break a promise (TARGET=candle_bytes SECONDS=60)"
	@echo "make soak   a day of windows with random faults in time-lapse: does anything grow? (SEED=1)"
	@echo "make bench  measure speed and memory, and write docs/performance.md (BENCH=--quick for less)"
	@echo "make pictures  take the dashboard's pictures in docs/ anew (needs Chromium)"
	@echo "make audit  bandit, and whether a vulnerability of a locked version is known (needs a registry that tells)"
	@echo "make setup  the virtual environment in $(VENV) alone"
	@echo "make lock   write requirements.lock anew (needs uv)"

setup: $(VENV)/ready

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV): what requirements.lock names is fetched and installed, in a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --disable-pip-version-check check >/dev/null || \
		{ $(BIN)/python -m pip check; exit 1; }
	@touch $@

demo: setup
	@$(BIN)/quant-assets demo

# The command tells how to choose another port; started here, that is not --port.
serve: PORT := 3000
serve: setup
	@QUANT_PORT_ADVICE="make serve PORT=$$(($(PORT) + 1))" exec $(BIN)/quant-assets serve --port $(PORT)

# The instance is the one that the command line uses, so that the UI shows its runs. Dagster is started in its home, as
# it warns of a dagster.yaml in any other folder; what is given relative to this folder stays so.
ui: PORT := 3001
ui: setup
	@set -a; [ ! -f .env ] || . ./.env; \
	QUANT_DATA_DIR="$${QUANT_DATA_DIR:-data}"; \
	for name in QUANT_DATA_DIR QUANT_CANDLES_DIR QUANT_BUDGET_DIR; do \
		eval "folder=\$$$$name"; case "$$folder" in ''|/*|'~'*) ;; *) eval "$$name=\$$PWD/\$$folder";; esac; \
	done; \
	DAGSTER_HOME="$${DAGSTER_HOME:-$$QUANT_DATA_DIR/dagster}"; set +a; \
	mkdir -p "$$DAGSTER_HOME" && DAGSTER_HOME=$$(cd "$$DAGSTER_HOME" && pwd) && { [ -f "$$DAGSTER_HOME/dagster.yaml" ] || { \
		cat dagster.yaml quant_assets/defs/sqlite_storage.yaml >"$$DAGSTER_HOME/dagster.yaml.new" && \
		mv "$$DAGSTER_HOME/dagster.yaml.new" "$$DAGSTER_HOME/dagster.yaml"; }; } && \
	bin="$$(cd $(BIN) && pwd)" && root="$$PWD" && cd "$$DAGSTER_HOME" && \
	exec "$$bin/python" -m quant_assets.cli.run_ui $(PORT) \
		"$$bin"/dagster dev --host 127.0.0.1 --port $(PORT) --workspace "$$root/workspace.yaml" --log-level warning

test: lint types tests coverage speed

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

tests: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not speed" --cov --cov-report= --durations=10

coverage:
	$(BIN)/coverage report --include='$(DOMAIN)' --fail-under=90

# One at a time and without coverage: these measure.
speed: setup
	$(BIN)/python -m pytest -m speed

chaos: setup
	QUANT_FAULTS=long QUANT_FAULTS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -n 2 --durations=10 quant_assets_tests/faults

# atheris is no part of the lock, so it gets an environment of its own on top of the project's.
fuzz: setup
	@[ -x $(VENV)/fuzz/bin/python ] || $(PYTHON) -m venv $(VENV)/fuzz
	@$(VENV)/fuzz/bin/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	PYTHONPATH="$(CURDIR):$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		$(VENV)/fuzz/bin/python -m quant_assets_tests.fuzz $(or $(TARGET),candle_bytes) --seconds $(or $(SECONDS),60)

soak: setup
	$(BIN)/python -m quant_assets_tests.faults.soak --seed $(or $(SEED),1) $(SOAK)

bench: setup
	$(BIN)/python -m quant_assets_tests.bench $(BENCH)

pictures: setup
	$(BIN)/python -m quant_assets_tests.dashboard.pictures

# In an environment of its own. A registry that does not tell, or is out of reach, is a failure and no clean answer.
audit:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet --disable-pip-version-check bandit pip-audit && \
	"$$folder/bin/bandit" --quiet --configfile pyproject.toml --recursive quant_assets && echo "bandit: clean" && \
	{ "$$folder/bin/pip-audit" --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off || \
		{ echo "the lock was not found clean: see above" >&2; exit 1; }; }

lock:
	uv pip compile pyproject.toml --extra dev --extra postgres --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-strip-extras --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
