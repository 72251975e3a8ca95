# One word per chore. Each sets up what it needs in .venv; Python 3.11 or newer and make are all that must be there.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
FOLDER ?=
OUT ?= demo-report
JOBS ?= 2
ONLY ?=
QUICK ?=

.PHONY: demo test fast storms check soak bench format requirements clean help

help:  ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .make/demo  ## Run all three tasks on sample photos (or FOLDER=…) and write demo-report/report.html
	$(BIN)/media-inference demo $(if $(FOLDER),"$(FOLDER)") --out "$(OUT)"

test: check  ## make check, then every test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests

fast: .make/test  ## The fast tests alone
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not flow and not storm" tests

storms: .make/test  ## Every storm in full (SEED=… one seed, BROKEN=… on a broken build); ledgers in storm-ledgers
	STORMS=full $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m storm tests/storms

check: .make/test  ## Formatting, lints, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: .make/test  ## 2,000 photos of every size while the worker's memory is looked at; some minutes
	$(BIN)/python -m tests.stands.soak

bench: .make/test .make/peers/done  ## Measure all (ONLY=… some, QUICK=1 in short) against others; benchmarks/results
	FOLDER="$(FOLDER)" $(BIN)/python -m benchmarks $(ONLY) $(if $(QUICK),--quick)

format: .make/test  ## Format, and mend what a linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

requirements: .make/test  ## Pin the newest versions that pyproject.toml allows
	$(PIP) uv
	for set in "runtime --extra qdrant" "demo --extra qdrant --extra demo" "test --all-extras --group dev"; do \
		set -- $$set; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
			--no-annotate pyproject.toml requirements/build.in "$$@" --output-file requirements/$$name.txt || exit 1; \
	done
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--no-annotate --no-deps requirements/references.in --output-file requirements/references.txt

clean:  ## Remove everything that the chores made
	rm -rf $(VENV) .make demo-report storm-ledgers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Without them the benchmarks say who is missing, and measure the others.
.make/peers/done: benchmarks/peers.txt | $(BIN)/python
	@echo "Installing benchmarks/peers.txt into .make/peers (some minutes, once; 2 GB)"
	@mkdir -p .make/peers
	{ $(BIN)/python -m venv .make/peers && .make/peers/bin/python -m pip --disable-pip-version-check --quiet install \
		--requirement benchmarks/peers.txt; } || { echo "The peers can't be installed here; to try again, remove .make/peers" >&2; rm -f .make/peers/bin/python; }
	@touch $@

.make/test: requirements/references.txt

.make/%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements/$*.txt into $(VENV) (a minute or two, once)"
	$(PIP) --require-hashes --requirement requirements/$*.txt
	$(if $(filter test,$*),$(PIP) --no-deps --require-hashes --requirement requirements/references.txt)
	$(PIP) --no-deps --no-build-isolation --editable .
	@mkdir -p .make && touch $@
