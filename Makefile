# Everything needs Python 3.11 or newer and make; the rest is installed into .venv by the targets themselves.

.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV_VERSION := 0.13.8
VENV := .venv/bin
UV := $(VENV)/uv
PACKAGES := libs/common services/gateway services/billing services/chat-relay services/media-tasks \
  services/oauth deploy/local
MYPY_ROOTS := $(PACKAGES) deploy/k8s tests
INSTALLED := .venv/installed
# uv reads neither pip's configuration nor, by itself, the machine's certificates: where pip reaches an index
# through a company's mirror or proxy, uv shall reach it too
INDEX = $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL),$(shell $(VENV)/pip config get global.index-url 2>/dev/null))
UV_PIP = $(if $(INDEX),UV_DEFAULT_INDEX='$(INDEX)') $(UV) pip install --system-certs --quiet --python $(VENV)/python

.PHONY: help install run test check bench e2e chaos contracts k8s lock

help: ## This list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: $(INSTALLED) ## Create .venv with the locked dependencies and the workspace, editable

$(INSTALLED): requirements.lock pyproject.toml $(PACKAGES:%=%/pyproject.toml)
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@test -x $(VENV)/pip || $(PYTHON) -m venv --clear .venv || { rm -rf .venv; \
	  echo '$(PYTHON) cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing into .venv …'
	@$(VENV)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV_PIP) --compile-bytecode --require-hashes -r requirements.lock
	@$(UV_PIP) --no-deps $(PACKAGES:%=-e %)
	@touch $@

run: install ## Start the whole suite on this machine: make run ARGS='--port 9000'
	@$(VENV)/tollway up $(ARGS)

test: install ## Run every test: make test ARGS='-k lease'
	@$(VENV)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: install ## Format, lint, types, import rules, house rules, contracts up to date
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@for root in $(MYPY_ROOTS); do echo "mypy $$root"; $(VENV)/mypy $$root || exit 1; done
	@$(VENV)/lint-imports
	@$(VENV)/python -m pytest -q tests/contracts tests/test_house.py

bench: install ## Measure against the direct call and LiteLLM
	@PYTHONPATH=tests $(VENV)/python -m bench $(ARGS)

e2e: install ## Run the tests with real clients against the running suite
	@$(VENV)/python -m pytest tests/e2e $(ARGS)

chaos: install ## Kill, pause, cut and disorder until something is wrong: make chaos ROUNDS=1000
	@PYTHONPATH=tests $(VENV)/python -m chaos --rounds $(or $(ROUNDS),100) $(ARGS)

contracts: install ## Generate docs/contracts from the code
	@PYTHONPATH=tests $(VENV)/python -m contracts

k8s: install ## Render the manifests and check them (needs kubectl)
	@$(VENV)/python -m pytest deploy/k8s $(ARGS)

lock: install ## Resolve the dependencies anew into requirements.lock
	@$(UV) lock --system-certs --quiet --upgrade
	@$(UV) export --quiet --frozen --all-packages --all-groups --no-emit-workspace --no-header -o requirements.lock
