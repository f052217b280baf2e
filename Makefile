# `make setup` installs everything into .venv; a new machine needs only Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOMAIN := quant_assets/providers/*,quant_assets/candles/*,quant_assets/storage/*,quant_assets/markets/*,quant_assets/derivatives/*,quant_assets/signals/*,quant_assets/evaluation/*,quant_assets/feed/*,quant_assets/dashboard/*
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder --durations=10
UNIT_TESTS := $(addprefix quant_assets_tests/,alerts candles common derivatives emulator evaluation feed markets providers signals storage \
	test_documents.py test_house.py)

# Some containers set this; then each of the hundreds of processes of the tests would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo serve ui check test lint types unit tests system coverage speed cluster-test chaos fuzz soak bench pictures schema docs audit lock clean

help:
	@echo "make demo      scan a simulated market: no key, no network"
	@echo "make serve     serve the dashboard on http://127.0.0.1:3000 (PORT=3000)"
	@echo "make ui        start Dagster's UI on http://127.0.0.1:3001 (PORT=3001)"
	@echo "make check     lint, types and unit tests, in a few minutes"
	@echo "make test      lint, types and tests, in about ten minutes (COVERAGE=1 measures coverage too)"
	@echo "make system    the tests that make test leaves out: a running Dagster, workers, failing machines"
	@echo "make chaos     run the tests of faults and of generated input in their long form (SEED=1)"
	@echo "make fuzz      search for inputs that break a parser (TARGET=candle_bytes SECONDS=60)"
	@echo "make cluster-test  run two workers on machines of their own, in Linux namespaces (needs root; DAYS=1 MARKETS=24)"
	@echo "make soak      run simulated days with random faults and check that nothing grows (SEED=1 MARKETS=60)"
	@echo "make speed     check the limits of time, on a machine that is idle"
	@echo "make bench     make speed, then measure speed and memory into docs/performance.md (BENCH=--quick for less)"
	@echo "make pictures  take the screenshots of dashboard and Dagster in docs/ (needs Chromium)"
	@echo "make schema    write the JSON Schema of the feed from its models"
	@echo "make docs      write the tables of strategies into docs/built_in_strategies.md"
	@echo "make audit     run bandit, and pip-audit on requirements.lock (needs a registry with advisories)"
	@echo "make setup     create the virtual environment in $(VENV)"
	@echo "make lock      update requirements.lock (needs uv)"
	@echo "make clean     remove $(VENV), builds and caches"

setup: $(VENV)/ready

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed. Name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock, which takes a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --disable-pip-version-check check >/dev/null || \
		{ $(BIN)/python -m pip check; exit 1; }
	@touch $@

demo: setup
	@$(BIN)/quant-assets demo

# The command suggests another port when this one is in use; with make that is PORT, not --port.
serve: PORT := 3000
serve: setup
	@QUANT_PORT_ADVICE="make serve PORT=$$(($(PORT) + 1))" exec $(BIN)/quant-assets serve --port $(PORT)

# Uses the instance of the command line, so that the UI shows its runs. Dagster starts in its home, because it warns
# about a dagster.yaml in any other folder. Relative paths in the variables are made absolute first.
ui: PORT := 3001
ui: setup
	@set -a; [ ! -f .env ] || . ./.env; \
	QUANT_DATA_DIR="$${QUANT_DATA_DIR:-data}"; QUANT_STRATEGIES_DIR="$${QUANT_STRATEGIES_DIR:-strategies}"; \
	for name in QUANT_DATA_DIR QUANT_CANDLES_DIR QUANT_BUDGET_DIR QUANT_STRATEGIES_DIR; do \
		eval "folder=\$$$$name"; case "$$folder" in ''|/*|'~'*) ;; *) eval "$$name=\$$PWD/\$$folder";; esac; \
	done; \
	DAGSTER_HOME="$${DAGSTER_HOME:-$$QUANT_DATA_DIR/dagster}"; set +a; \
	mkdir -p "$$DAGSTER_HOME" && DAGSTER_HOME=$$(cd "$$DAGSTER_HOME" && pwd) && \
	bin="$$(cd $(BIN) && pwd)" && root="$$PWD" && cd "$$DAGSTER_HOME" && \
	exec "$$bin/python" -m quant_assets.cli.run_ui $(PORT) \
		"$$bin"/dagster dev --host 127.0.0.1 --port $(PORT) --workspace "$$root/workspace.yaml" --log-level warning

check: lint types unit

# Mypy uses one core, so it runs beside the tests.
test: lint
	@$(MAKE) --no-print-directory --jobs=2 types tests
	@$(if $(COVERAGE),$(MAKE) --no-print-directory coverage)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Tests that start no browser, no Dagster process, no PostgreSQL and no long fault run.
unit: setup
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not speed and not slow and not system" $(UNIT_TESTS)

tests: setup
	$(BIN)/python -m pytest $(SPREAD) -m "not speed and not cluster and not system" $(if $(COVERAGE),--cov --cov-report=)

# A running Dagster, workers, machines and exchanges that fail, hours of windows, and packages that are installed.
system: setup
	$(BIN)/python -m pytest $(SPREAD) -m system

coverage:
	$(BIN)/coverage report --include='$(DOMAIN)' --fail-under=90

# These tests measure time, so they run one after another and without coverage, and not in `make test`: a slow or busy
# machine must not fail it.
speed: setup
	$(BIN)/python -m pytest -m speed

# One cluster for all tests, in one process.
cluster-test: setup
	QUANT_CLUSTER_DAYS=$(or $(DAYS),1) QUANT_CLUSTER_MARKETS=$(or $(MARKETS),24) \
	QUANT_CLUSTER_WINDOWS=$(or $(WINDOWS),16) $(BIN)/python -m pytest -m cluster -v \
		--durations=10 quant_assets_tests/cluster

chaos: setup
	QUANT_FAULTS=long QUANT_FAULTS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -n 2 --durations=10 quant_assets_tests/faults \
		quant_assets_tests/fuzz quant_assets_tests/signals/test_against_reference.py \
		quant_assets_tests/signals/test_replay.py quant_assets_tests/defs/test_scan_through_dagster.py \
		quant_assets_tests/defs/test_added_provider.py

# atheris is not in requirements.lock, so it gets an environment of its own on top of the project's.
fuzz: setup
	@[ -x $(VENV)/fuzz/bin/python ] || $(PYTHON) -m venv $(VENV)/fuzz
	@$(VENV)/fuzz/bin/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	PYTHONPATH="$(CURDIR):$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		$(VENV)/fuzz/bin/python -m quant_assets_tests.fuzz $(or $(TARGET),candle_bytes) --seconds $(or $(SECONDS),60)

soak: setup
	$(BIN)/python -m quant_assets_tests.faults.soak --seed $(or $(SEED),1) $(SOAK)
	$(BIN)/python -m quant_assets_tests.faults.exchange_soak --seed $(or $(SEED),1) --markets $(or $(MARKETS),60)
	$(BIN)/python -m quant_assets_tests.evaluation.record_days --seed $(or $(SEED),1)
	$(BIN)/python -m quant_assets_tests.evaluation.record_days --seed $(or $(SEED),1) --missed 0.03 --refreshed 0.1
	QUANT_FAULTS=long QUANT_FAULTS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -q -s \
		quant_assets_tests/candles/exchanges/test_fetched_day.py quant_assets_tests/defs/test_exchange_time_lapse.py

bench: speed
	$(BIN)/python -m quant_assets_tests.bench $(BENCH)

pictures: setup
	$(BIN)/python -m quant_assets_tests.dashboard.pictures
	QUANT_PICTURES="$(CURDIR)/docs" $(BIN)/python -m pytest -q -k page quant_assets_tests/defs/test_running_dagster.py

schema: setup
	$(BIN)/python -m quant_assets.feed >quant_assets/feed/master_feed.schema.json.new
	mv quant_assets/feed/master_feed.schema.json.new quant_assets/feed/master_feed.schema.json

docs: setup
	$(BIN)/python -m quant_assets_tests.signals.document_strategies

# In an environment of its own. It fails when the registry has no advisories or cannot be reached.
audit:
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet --disable-pip-version-check bandit pip-audit && \
	"$$folder/bin/bandit" --quiet --configfile pyproject.toml --recursive quant_assets && echo "bandit: clean" && \
	{ "$$folder/bin/pip-audit" --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off || \
		{ echo "requirements.lock was not found clean, see above" >&2; exit 1; }; }

lock:
	uv pip compile pyproject.toml --extra dev --extra postgres --extra celery --extra tune --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-strip-extras --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
