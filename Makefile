# Commands: make demo, make test, make test-all, make quality, make docs. Each creates .venv as needed and can be repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# In the order of tests/conftest.py, a file to a worker.
TESTS := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all quality docs clean

# Python compiles what is imported, once: compiling what never is takes minutes.
unexport PYTHONDONTWRITEBYTECODE

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/pneumoscope demo

# What a change may break within minutes; test-all has the slow ones too.
test: $(READY)
	$(TESTS) -m "not slow"

test-all: $(READY)
	$(TESTS)

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Without a network: fonts and scripts are part of the theme.
docs: $(READY)
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache
