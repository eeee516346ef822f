# make install | run | check | test | test-long | stories | ops | deploy-check | soak | fuzz | drills | lint | screenshots | pictures | dashboards | dashboard-pictures | last-release | lock. Needs python3 (3.11 or newer) and the network, once.
PYTHON ?= python3
BIN = .venv/bin
STAMP = .venv/.installed
PIP = $(BIN)/python -m pip install --constraint constraints.txt
# Shows what pip is at: the packages by name, on one line. The errors of pip are shown as they are, and its
# exit code, which comes as the last line, is that of the step.
SHOW = while read -r word name rest; do case "$$word" in \
	Collecting) printf ' %s' "$${name%%[!A-Za-z0-9_.-]*}";; \
	Installing) printf '\nputting them into place';; \
	exit) echo; exit "$$name";; \
	esac; done

# The tests start programs hundreds of times, which without their bytecode are compiled each time.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

.PHONY: install run check test test-long stories ops deploy-check soak fuzz drills lint screenshots pictures dashboards dashboard-pictures last-release lock

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: PYTHON=")'
	@echo "installing into .venv: a minute or two, once"
	@echo "1 of 3: an environment of its own"
	@$(PYTHON) -m venv .venv
	@echo "2 of 3: pip and hatchling, which install the rest"
	@{ $(PIP) pip hatchling; echo "exit $$?"; } | { $(SHOW); }
	@echo "3 of 3: SyncKairos and the packages it needs, which takes the longest"
	@{ $(PIP) --no-build-isolation --editable '.[dev]'; echo "exit $$?"; } | { $(SHOW); }
	@touch $@

run: $(STAMP)
	$(BIN)/synckairos dev $(ARGS)

# A look within half a minute: lint, types, unit, and the core on one server.
check: lint
	SERVERS=valkey $(BIN)/python -m pytest --quiet --numprocesses 2 tests/unit tests/core $(ARGS)

# The library and the client against the model, thousands of random games; about an hour.
soak: $(STAMP)
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/model tests/client/test_games.py $(ARGS)

# Random requests of all roles, random frames, random calls of functions; tests/fuzz/README.md has the figures.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz http --cases 20000 $(ARGS)
	$(BIN)/python -m tests.fuzz socket --cases 100000 $(ARGS)
	$(BIN)/python -m tests.fuzz fcall --cases 100000 $(ARGS)

# What takes long: benches, fuzzing, what dies under load or loses its network, all roles at all routes, every page at
# every width, the packages as they are installed, and servers, workers and commands that begin and end.
LONG = tests/auth/matrix tests/bench tests/chaos tests/e2e/uses tests/failover tests/fuzz tests/importing tests/move \
	tests/packaging tests/upgrade \
	tests/audit/test_chaos.py tests/audit/test_recovery.py tests/audit/test_reopen.py tests/audit/test_restore.py \
	tests/audit/test_restorer.py tests/audit/test_schema.py tests/audit/test_tracing.py tests/audit/test_worker.py \
	tests/auth/test_keys.py tests/contract/test_fuzz.py tests/contract/test_lifetime.py \
	tests/core/test_takeback_property.py tests/e2e/test_agreement.py tests/e2e/test_console_access.py \
	tests/e2e/test_console_connection.py tests/e2e/test_console_corrections.py tests/e2e/test_console_game.py \
	tests/e2e/test_console_list.py tests/e2e/test_console_tokens.py tests/e2e/test_console_views.py \
	tests/e2e/test_device_clock.py tests/e2e/test_network.py tests/e2e/test_restart.py tests/e2e/test_taps.py \
	tests/integration/test_circles.py tests/integration/test_cli.py tests/integration/test_cluster.py \
	tests/integration/test_doctor.py tests/integration/test_embedded.py tests/integration/test_fence.py \
	tests/integration/test_leaks.py tests/integration/test_library.py tests/integration/test_lua_readme.py \
	tests/integration/test_outage_logs.py tests/integration/test_probes.py tests/integration/test_reload.py \
	tests/integration/test_secrets.py tests/integration/test_stalls.py tests/integration/test_standby.py \
	tests/integration/test_start_and_stop.py tests/integration/test_users.py tests/integration/test_watch.py \
	tests/integration/test_without_primary.py tests/unit/test_garbage.py tests/webhooks/test_deaths.py

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 5 --dist worksteal $(LONG:%=--ignore=%) --ignore=tests/operations $(ARGS)

# A short form of it: each bench once and quickly, a few thousand random calls, each death three times.
test-long: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(LONG) $(ARGS)

# What each kind of user does with the console, in a browser: one story a test.
stories: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal tests/e2e/uses $(ARGS)

# What whoever runs the service relies on, with the programs that they use: Prometheus, Alertmanager, nginx, HAProxy.
ops: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal tests/operations $(ARGS)

# Every file in deploy/ as the program reads it that it is for.
deploy-check: $(STAMP)
	$(BIN)/python -m tests.operations.deploy_check $(ARGS)

# What dies on the way to PostgreSQL dies thirty times, and not three. Then a primary behind Sentinels is killed,
# hung, cut off and replaced under load; the exit code says whether the goals in sentinel/README.md were met.
drills: $(STAMP)
	KILLS=30 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/audit/test_chaos.py tests/chaos $(ARGS)
	sentinel/drill --durability async
	sentinel/drill --durability replicated

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

# Pictures of every page and state of the console in .pictures/, for eyes: at four sizes, dark and light.
pictures: $(STAMP)
	$(BIN)/python -m tests.e2e.pictures $(ARGS)

# The dashboards as JSON, and their pictures, for which a deployment runs for a quarter of an hour.
dashboards: $(STAMP)
	$(BIN)/python -m deploy.grafana.generate

dashboard-pictures: dashboards
	$(BIN)/python -m tests.operations.dashboards.pictures

# Keeps a release for the tests of upgrades, once it is out: make last-release RELEASE=<commit>
last-release: $(STAMP)
	$(BIN)/python -m tests.upgrade.keep $(RELEASE)

# Writes down what is installed now, after an upgrade of .venv by hand.
lock: $(STAMP)
	$(BIN)/python -m pip freeze --all --exclude-editable > constraints.txt
