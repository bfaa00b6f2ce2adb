# What can be done in a checkout. Everything needs Python 3.11 or later and make, and sets up the rest itself in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# With vigra, whose arrays the client hands out where it is there: Debian has it, for its own Python and numpy 1.
VIGRA := .venv-vigra
DEBIAN_PYTHON := /usr/bin/python3

# Of `make demo` and `make serve`:
DATA ?=
PORT ?= 8000
ARGS ?=
# A real volume with a segmentation, which `make demo` shows where it lies beside the checkout and DATA names no other.
REAL := $(wildcard ../shared/data/vnc/vnc.h5)
PARTS := $(if $(REAL),--source "$(REAL)" --dataset raw --labels "$(REAL)" --labels-dataset supervoxels \
  --mapping "$(REAL)" --mapping-dataset mapping)

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-vigra lint bench docs venv clean

help: ## Show this list
	@echo "make WHAT, where WHAT is one of"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

demo: $(VENV)/.installed ## Serve a volume and its segmentation in two versions, say where to look (DATA=path of yours, PORT=8000, ARGS=--no-wait)
	@$(BIN)/dvid demo --port $(PORT) $(if $(DATA),--source "$(DATA)",$(PARTS)) $(ARGS)

serve: $(VENV)/.installed ## Run a server (DATA=folder of the store, PORT=8000, ARGS=other options)
	@$(BIN)/dvid serve --http 127.0.0.1:$(PORT) $(if $(DATA),--data "$(DATA)") $(ARGS)

# The plugin for tests of Qt ends all tests where Qt cannot be loaded; without it, those of the contents browser skip and say why.
test: QT = $(shell $(BIN)/python -c "import PySide6.QtWidgets" 2>/dev/null || echo -p no:pytest-qt)
test: $(VENV)/.with-test ## Run all tests, the fast ones first and one file on each core (ARGS=options of pytest)
	$(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile $(QT) $(ARGS)
	$(BIN)/python -m pytest -q -m slow $(QT) $(ARGS)
	@$(MAKE) --no-print-directory $(VIGRA)/.installed
	@! [ -x $(VIGRA)/bin/python ] || $(MAKE) --no-print-directory test-vigra

test-vigra: $(VENV)/.installed $(VIGRA)/.installed
	DVID_PYTHON=$(CURDIR)/$(BIN)/python $(VIGRA)/bin/python -m pytest -q --confcutdir=tests/dvidclient \
	  tests/dvidclient --ignore tests/dvidclient/gui $(ARGS)
	$(VIGRA)/bin/python -m pytest -q --confcutdir=tests/mockserver tests/mockserver $(ARGS)

lint: $(VENV)/.with-test $(VENV)/.with-lint ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.with-bench ## Measure reads in one process, and a server on a new store
	$(BIN)/python bench/inprocess.py
	$(BIN)/python bench/server.py

docs: $(VENV)/.installed ## Write the pages in docs/ that are made from the code
	$(BIN)/python -m dvid.config > docs/configuration.md
	$(BIN)/python -m dvid.cli > docs/command-line.md
	$(BIN)/python -m dvid.http.reference > docs/http-api.md

venv: $(VENV)/.with-test $(VENV)/.with-lint ## Set up everything that tests and checks need

clean: ## Remove what the other targets made, but for the demo's data
	rm -rf $(VENV) $(VIGRA) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the virtual environment ---------------------------------------------------------------------

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or later as '$(PYTHON)'; another one is named with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make virtual environments here. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

# Installed anew when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml src/pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet --editable ./src --editable .
	$(BIN)/python -m dvid.kernels.warming # compiles what is compiled, so that nothing waits for it later
	@touch $@

$(VENV)/.with-%: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ./src --group $*
	@touch $@

# Where vigra is missing and cannot be installed, there is no Python in it, and the tests with vigra do not run.
$(VIGRA)/.installed: src/pyproject.toml
	@rm -rf $(VIGRA) && mkdir $(VIGRA)
	@$(DEBIAN_PYTHON) -c 'import vigra' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-vigra python3-venv; } || true
	@if $(DEBIAN_PYTHON) -c 'import vigra' 2>/dev/null; then \
	  $(DEBIAN_PYTHON) -m venv --system-site-packages $(VIGRA) && \
	  $(VIGRA)/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	  $(VIGRA)/bin/python -m pip install --quiet --editable "./src[hdf5,lz4]" && \
	  $(VIGRA)/bin/python -m pip install --quiet --group src/pyproject.toml:test-vigra; \
	else \
	  echo "NOT TESTED: the client with vigra. It comes with Debian (apt-get install python3-vigra, as root), for $(DEBIAN_PYTHON)"; \
	fi
	@touch $@
