# make demo    run the shipped example through the real server; sets everything up first
# make test    the whole suite, then the end-to-end tests on the oldest Python of 3.11-3.13 that is here, and some between
# make check   lint, format, types, import rules
# make conformance   the official MCP conformance suite alone, with what it has to say; `make test` runs it too
# make soak    the long crash campaign of docs/reliability.md; KILLS=220 SEED=1
# make hostile the long campaigns of hostile messages and files, likewise; MESSAGES=1000000 FILES=100000 SEED=1
# make bench   the figures of benchmarks/README.md, measured against their peers
# make fmt     mend what can be mended by itself
# make clean   remove what the tools left behind; the environments stay
#
# PYTHON=/path/to/python chooses the Python of .venv; else it is the newest of 3.11-3.13 that is here.

.DEFAULT_GOAL := demo
.PHONY: demo test conformance node-packages end-to-end end-to-end-briefly check soak hostile bench fmt clean

KILLS ?= 220
MESSAGES ?= 1000000
FILES ?= 100000
SEED ?= 1
PYTHON ?= $(shell scripts/pythons | sed -n '1s/^[^ ]* //p')
VENV ?= .venv
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt constraints-oldest.txt
EXAMPLE := examples/invoice_triage
# What a Python may change: its event loop, its subprocesses, its SQLite, how it starts. Everything else, such as what a
# settings file or an MCP answer holds, comes from code and libraries that are the same on each.
ON_OLDEST := tests/protocol $(patsubst %,tests/end_to_end/test_%.py,\
	cli cli_call durable kept_runs protocol pythonpath runs subprocess)
# What shows that a Python between the oldest and the newest works: runs of all kinds, over the wire.
BRIEFLY := tests/end_to_end/test_runs.py
NODE_STAMP := tests/node/node_modules/.installed

demo: $(VENV)/installed
	@$(BIN)/mthds-rpc call execute --method $(EXAMPLE) --inputs $(EXAMPLE)/inputs.json --progress --output

# In the order of the folders: the many small unit tests are left for the end, when one process waits for the other.
test: $(VENV)/installed-dev $(NODE_STAMP)
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered
	@MAKE='$(MAKE)' scripts/end-to-end "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

conformance: $(VENV)/installed-dev $(NODE_STAMP)
	@$(BIN)/python -m pytest -rP tests/conformance

node-packages: $(NODE_STAMP)

end-to-end: $(VENV)/installed-end-to-end
	@echo "End-to-end tests on $$($(BIN)/python --version):"
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ON_OLDEST)

end-to-end-briefly: $(VENV)/installed-end-to-end
	@echo "Some end-to-end tests on $$($(BIN)/python --version):"
	@$(BIN)/python -m pytest $(BRIEFLY)

check: $(VENV)/installed-dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: $(VENV)/installed-dev
	@$(BIN)/python -m tests.fault.soak --kills $(KILLS) --seed $(SEED)

hostile: $(VENV)/installed-dev
	@$(BIN)/python -m tests.fault.hostile --messages $(MESSAGES) --files $(FILES) --seed $(SEED)

bench: $(VENV)/installed-dev
	@$(BIN)/python -m benchmarks.run

fmt: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean:
	@rm -rf .coverage .coverage.* htmlcov .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis benchmarks/results
	@find rpc_server orchestrators schemas tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment; each target installs what it needs on top, and only when the pins changed.
$(VENV)/installed: $(PINS)
	@PYTHON='$(PYTHON)' scripts/install $(VENV) .
	@touch $@

$(VENV)/installed-end-to-end: $(PINS)
	@PYTHON='$(PYTHON)' scripts/install $(VENV) '.[end-to-end]'
	@touch $(VENV)/installed $@

$(VENV)/installed-dev: $(PINS)
	@PYTHON='$(PYTHON)' scripts/install $(VENV) '.[dev]'
	@touch $(VENV)/installed $@

# The npm packages that tests need, which every environment shares.
$(NODE_STAMP): tests/node/package.json tests/node/package-lock.json tests/node/.npmrc | $(VENV)/installed-dev
	@scripts/node-packages $(VENV)
	@touch $@
