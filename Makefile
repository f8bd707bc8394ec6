# Everything from a bare Python 3.11: `make serve` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIENTS := .venv-clients
# vLLM pins its own torch and transformers, and has wheels for Python 3.11 only.
VLLM := .venv-vllm
VLLM_PYTHON ?= python3.11
# For example: make test PYTEST_ARGS=--cov
PYTEST_ARGS ?=

# Threads that spin beside a busy neighbour are ruinous, and small models want one.
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup setup-vllm serve test test-vllm clients check format clean

setup: $(STAMP)

# torch first and alone: without a GPU a dependency would otherwise bring several GB of CUDA libraries.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"found Python {v[0]}.{v[1]}; wanted 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python scripts/install_torch.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(STAMP)

serve: setup
	$(BIN)/scalpel serve

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow' $(PYTEST_ARGS)

setup-vllm: $(VLLM)/.installed

$(VLLM)/.installed: pyproject.toml scripts/install_vllm.py
	test -x $(VLLM)/bin/python || $(VLLM_PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python scripts/install_vllm.py
	touch $@

# One engine after the other; what is marked slow compiles, or starts vLLM's server.
test-vllm: setup-vllm
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(VLLM)/bin/python -m pytest tests/vllm_engine $(PYTEST_ARGS)

# Clients of other people's, in environments of their own: some want other versions of what the project uses. Tests that
# need one are skipped without it.
clients: $(CLIENTS)/.installed tests/clients_node/node_modules/.installed

$(CLIENTS)/.installed: tests/clients/requirements.txt
	test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	touch $@

tests/clients_node/node_modules/.installed: tests/clients_node/package-lock.json
	if command -v npm > /dev/null; then cd tests/clients_node && npm ci --no-audit --no-fund --ignore-scripts && touch node_modules/.installed; \
	else echo "no npm: the tests of the npm client will be skipped"; fi

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VLLM) $(CLIENTS) tests/clients_node/node_modules build dist .pytest_cache .mypy_cache .ruff_cache
