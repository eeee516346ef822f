# make install | run | check | test | soak | lint | screenshots | lock. Needs python3 (3.11 or newer) and the network, once.
PYTHON ?= python3
BIN = .venv/bin
STAMP = .venv/.installed
PIP = $(BIN)/python -m pip install --quiet --constraint constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

.PHONY: install run check test soak lint screenshots lock

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=")'
	@echo "installing into .venv: a minute or two, once"
	@echo "1 of 3: an environment of its own"
	@$(PYTHON) -m venv .venv
	@echo "2 of 3: pip and hatchling, which install the rest"
	@$(PIP) pip hatchling
	@echo "3 of 3: SyncKairos and the packages it needs, which takes the longest"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

run: $(STAMP)
	$(BIN)/synckairos dev $(ARGS)

# A look within a minute or two: lint, types, unit, and the core on one server.
check: lint
	SERVERS=valkey $(BIN)/python -m pytest --quiet --numprocesses 2 tests/unit tests/core $(ARGS)

# The library and the client against the model, thousands of random games; about an hour.
soak: $(STAMP)
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/model tests/client/test_games.py $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/synckairos functions check --source
	@if command -v luacheck >/dev/null; then luacheck --quiet lua; \
	elif [ "$$CI" = true ]; then echo 'luacheck is not installed' >&2; exit 1; \
	else echo 'luacheck is not installed: the Lua is not checked'; fi

# The README's pictures of the console, made anew; needs Chromium.
screenshots: $(STAMP)
	$(BIN)/python -m tests.e2e.screenshots

# Writes down what is installed now, after an upgrade of .venv by hand.
lock: $(STAMP)
	$(BIN)/python -m pip freeze --all --exclude-editable > constraints.txt
