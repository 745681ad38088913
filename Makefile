# One short command per activity; `make` alone lists them.
# Everything lives in .venv, made from requirements.lock. `make serve PORT=9000`, `make test ARGS="-k cancel"`.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore

.DEFAULT_GOAL := help
.PHONY: help serve test chaos check fix bench lock

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf '  make %-7s %s\n' "$$name" "$$what"; done

serve: .venv/.installed ## run the server; HOST and PORT as in the environment
	@exec $(BIN)/dragoman serve $(ARGS)

test: .venv/.installed ## run the tests
	@$(BIN)/pytest -n 3 --dist worksteal $(ARGS)

chaos: .venv/.installed ## run the long tests: simulated worlds, and real processes that are killed, cut and raced
	@$(BIN)/pytest -m chaos $(ARGS)

check: .venv/.installed ## format, lint, types and import contracts, as CI sees them
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy -p dragoman -p bench
	@$(BIN)/lint-imports --no-cache

fix: .venv/.installed ## format, and repair what ruff can repair
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.installed ## measure against the usual way and a raw relay; ARGS=--quick is shorter
	@$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m bench.storage
	@$(BIN)/python -m bench.many --quick

lock: ## pin every dependency again, with hashes (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.lock

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dragoman needs Python 3.11 or newer; choose one with PYTHON=python3.12.")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing into .venv ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
