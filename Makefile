# `make` lists the commands.
#
# Everything is installed into .venv with the versions of constraints.txt. The torch of the
# default package index is built for CUDA and is a large download. Where there is no GPU, put the
# CPU builds of torch AND torchvision in first (one of the two alone does not import):
#
#     python3 -m venv .venv
#     .venv/bin/pip install torch torchvision -c constraints.txt \
#         --index-url https://download.pytorch.org/whl/cpu

# The first Python that is new enough; another: make demo PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)
WORKERS ?= auto
DATA ?=

BIN := .venv/bin

# One thread a process: several OpenMP programs on few cores slow each other down many times.
test data-test: export OMP_NUM_THREADS ?= 1

ifneq ($(filter data-test,$(MAKECMDGOALS)),)
ifeq ($(DATA),)
$(error say where the data is: make data-test DATA=dir)
endif
endif

PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

.PHONY: help demo test data-test lint clean
.DELETE_ON_ERROR:

help:
	@echo "make demo                train a graph on embedded digits; a page of nodes on their digits in runs/demo"
	@echo "make test                all tests that need neither network nor data"
	@echo "make data-test DATA=dir  the tests on real data: dir holds mnist/ and videos/"
	@echo "make lint                ruff and mypy"
	@echo "make clean               remove .venv, caches and builds; runs/ stays"
	@echo
	@echo "Options: PYTHON=python3.12 (to make .venv), WORKERS=2 (tests side by side)"

demo: .venv/.installed-demo
	$(BIN)/interlace train --config configs/demo.yaml

test: .venv/.installed-dev
	$(PYTEST) -m "not data"

data-test: .venv/.installed-dev
	$(PYTEST) -m data --data-dir="$(DATA)"

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps: pip runs again only when what is to be installed has changed.
.venv/.installed-demo: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/python -m pip install -e ".[all]" -c constraints.txt
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/python -m pip install -e ".[dev]" -c constraints.txt
	@touch $@ .venv/.installed-demo

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "interlace needs Python 3.11 or newer, and $(PYTHON) is" \
			"$$($(PYTHON) -V 2>&1 || true); name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv
