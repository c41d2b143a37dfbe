# Two commands matter: `make demo` and `make test`.  Both set everything up in .venv first; they need
# Python 3.11 or newer (able to make a venv), make and a package index, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2

.PHONY: demo test lint types check setup lock reference docs real bench fuzz clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(BIN)/unwindlab demo

test: $(READY) lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "unwindlab: $(PYTHON) is older than 3.11; run make PYTHON=python3.11" >&2; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "unwindlab: $(PYTHON) cannot make a virtual environment; on Debian install python3-venv" >&2; exit 3; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The small reference run that is kept in git: `unwindlab rerun` repeats it, a test compares with it.
reference: $(READY)
	$(BIN)/python -m tests.make_reference

# The documentation as a site, in build/docs; warnings are errors.
docs: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs
	@echo "wrote build/docs/index.html"

# Real static programs for the tests that skip without them: Debian's busybox and bash, and what compilers are there.
real: $(READY)
	$(BIN)/python -m tests.make_real

# How fast the engines are, in some minutes; best on a machine that does nothing else.
bench: $(READY)
	@$(BIN)/unwindlab bench

# Damaged ELF files and rewrite maps, COUNT of them: each must end in a verified output or in one line.
COUNT ?= 10000
SEED  ?= 1
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.elves --count $(COUNT) --seed $(SEED)

# After a change of dependencies in pyproject.toml (needs uv on the PATH).
lock:
	uv pip compile pyproject.toml --extra dev --extra build --generate-hashes --python-version 3.11 \
	  --no-header --no-annotate --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
