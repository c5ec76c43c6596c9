# Each target calls what the README shows; pip and venv are all it needs.
#   make demo             the demo (EXTRAS=torch adds a torch miner; ARGS='--seed 2' passes options on)
#   make demo-check       the demo's order of earnings, for five seeds
#   make test             the tests
#   make test-clients     bittensor 11, bittensor 10 and @polkadot/api, installed from their registries, against ours
#   make test-chain       the client's conformance suite on the chain at SUBNET_TEST_CHAIN=ws://...
#   make abuse           attacks on an axon, with honest callers beside
#   make test-torch       what needs torch, transformers; the text subnet with models that it trains
#   make test-ray         a pool of actors on a real local Ray
#   make test-crash       a validator killed two hundred times at random moments, the local chain a hundred times
#   make test-browser    the dashboard in a headless Chromium; pictures go to SUBNET_SCREENSHOTS
#   make soak            64 miners and 4 validators on a chain that fails, for 15 minutes; soak-check: for one
#   make fuzz            new examples for the property tests, for SECONDS=600
#   make lint             ruff, mypy, import-linter, and pyright where there is node
#   make wheel-check      a wheel, in an empty environment beside PyPI's validators
#   make bench            the benchmarks
#   make setup            only the environment, with everything a developer needs

PYTHON ?= python3
EXTRAS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
COMMA := ,
DEMO := examples$(if $(EXTRAS),$(COMMA)$(EXTRAS))

.PHONY: setup demo demo-check test test-clients test-chain test-crash test-torch test-ray test-browser abuse soak soak-check fuzz lint wheel-check bench clean

demo: $(VENV)/.with-$(DEMO)
	$(BIN)/subnet demo $(ARGS)

demo-check: $(VENV)/.with-$(DEMO)
	$(BIN)/subnet demo --check-seeds 5 $(ARGS)

setup: $(VENV)/.with-dev

test: setup
	$(BIN)/python -m pytest $(ARGS)

test-chain: setup
	@test -n "$$SUBNET_TEST_CHAIN" || { echo 'SUBNET_TEST_CHAIN=ws://127.0.0.1:9944 make test-chain'; exit 2; }
	$(BIN)/python -m pytest -n0 tests/chain/test_real_chain.py $(ARGS)

CLIENTS := tests/clients
POLKADOT := $(CLIENTS)/polkadot/node_modules

test-clients: setup .venv-bittensor/.installed .venv-v10/.installed $(POLKADOT)
	$(BIN)/python -m pytest -n0 -m 'client_bittensor or client_polkadot or client_v10' $(CLIENTS) $(ARGS)

# What the default run leaves out where torch and wandb are not installed.
test-torch: $(VENV)/.with-dev $(VENV)/.with-examples,torch,wandb
	$(BIN)/python -m pytest tests/miners/backends tests/examples tests/wire/test_codec.py tests/test_sinks.py $(ARGS)
	$(BIN)/python -m pytest -n0 -m slow tests/examples/test_text_subnet.py $(ARGS)

test-ray: $(VENV)/.with-dev $(VENV)/.with-ray
	$(BIN)/python -c 'import ray' # else all would be skipped
	$(BIN)/python -m pytest -n0 -m slow tests/miners/backends/test_ray_pool.py $(ARGS)

test-crash: setup
	$(BIN)/python -m pytest -n0 -m crash tests/devnet/test_kill.py tests/validators/test_kill.py $(ARGS)

test-browser: setup
	$(BIN)/python -m pytest -n0 -m browser tests/browser $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v node >/dev/null; then $(BIN)/pyright; else echo 'pyright left out: it runs on node'; fi

abuse: setup
	$(BIN)/python -m pytest -n0 -m abuse tests/abuse $(ARGS)

soak: setup
	$(BIN)/python benchmarks/soak.py --seconds 900 $(ARGS)

soak-check: setup
	$(BIN)/python benchmarks/soak.py --seconds 60 $(ARGS)

SECONDS ?= 600

fuzz: setup
	$(BIN)/python scripts/fuzz.py $(SECONDS) $(ARGS)

wheel-check: setup
	$(BIN)/python scripts/wheel_check.py

bench: setup
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .venv-bittensor .venv-v10 $(POLKADOT) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x ...")'
	$(PYTHON) -m venv $(VENV)

.venv-v10/.installed: $(CLIENTS)/v10/requirements.txt
	$(PYTHON) -m venv .venv-v10
	.venv-v10/bin/python -m pip install --quiet -r $<
	@touch $@

.venv-bittensor/.installed: $(CLIENTS)/bittensor/requirements.txt
	$(PYTHON) -m venv .venv-bittensor
	.venv-bittensor/bin/python -m pip install --quiet -r $<
	@touch $@

$(POLKADOT): $(CLIENTS)/polkadot/package-lock.json
	@if command -v npm >/dev/null; then cd $(CLIENTS)/polkadot && npm ci --silent && touch node_modules; \
	else echo '@polkadot/api left out: there is no npm'; fi

# One stamp a set of extras; a later make installs again only when a pin or the packaging changed.
$(VENV)/.with-%: pyproject.toml setup.cfg constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt --config-settings editable_mode=compat -e '.[$*]'
	@touch $@
