# Two commands do everything on a machine with Python 3.11+, make and git:  make run  ·  make test
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes
LOCKS := requirements/run.in requirements/test.in requirements/claude.in

MANIFESTS := build/manifests

.PHONY: run test hour explore check bench manifests image format lock clean

run: $(VENV)/.run  ## start on the embedded default; nothing else is needed
	@$(BIN)/python -m bot run

test: $(VENV)/.test  ## the whole test suite
	@$(BIN)/python -m pytest $(ARGS)

hour: $(VENV)/.test  ## both chats for a whole simulated hour; ARMY_SEED=n for another one
	@ARMY_WHOLE_HOUR=1 $(BIN)/python -m pytest -n 2 tests/hour $(ARGS)

explore: $(VENV)/.test  ## the tests with inputs and a seed that they never had; prints what failed, to be kept
	@seed=$${ARMY_SEED:-$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}; echo "ARMY_SEED=$$seed"; \
	  ARMY_EXPLORE=1 ARMY_SEED=$$seed $(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test  ## everything that is not a test: format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.test  ## measure; prints a table and writes bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

manifests:  ## render every kustomization of k8s/ into build/manifests
	@rm -rf $(MANIFESTS)
	@k8s/render $(MANIFESTS)

image:  ## build the images of agent and bot; PLATFORMS=linux/amd64,linux/arm64 for both
	@images/build

format: $(VENV)/.test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found in PATH."; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt | $(VENV)/bin/python
	@echo "Installing the libraries …"
	@$(PIP) -r requirements/run.txt
	@touch $@

$(VENV)/.test: requirements/test.txt requirements/claude.txt | $(VENV)/bin/python
	@echo "Installing the libraries and the test tools …"
	@$(PIP) -r requirements/test.txt
	@echo "Installing the agent CLI that the tests drive (160 MB, once) …"
	@$(PIP) --no-deps -r requirements/claude.txt
	@touch $@ $(VENV)/.run

lock:  ## write the lock files anew (needs uv)
	@for name in run test kubectl node; do uv pip compile requirements/$$name.in -o requirements/$$name.txt --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q; done
	@uv pip compile requirements/claude.in -o requirements/claude.txt --no-deps --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q

clean:
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
