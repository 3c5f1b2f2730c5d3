PYTHON ?= python3
BIN := .venv/bin
DEVICE ?= cpu
LOWEST := .venv-lowest/bin
TORCH ?= 2.13.0

.PHONY: run test nightly lowest tables docs bench clean

# The file is touched last, so that an interrupted install is repeated.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	touch $@

run: .venv/.installed
	$(BIN)/lossreg run configs/digits.yaml

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 -m 'not nightly' --cov --cov-report=term

nightly: .venv/.installed
	$(BIN)/python -m pytest -n 2

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-lowest.txt --editable '.[test]' torch==$(TORCH)
	touch $@

# With the lowest versions that pyproject.toml allows; for the lowest torch: make lowest TORCH=2.6.0
lowest: .venv-lowest/.installed
	$(LOWEST)/ruff check .
	$(LOWEST)/ruff format --check .
	$(LOWEST)/mypy
	$(LOWEST)/lint-imports
	$(LOWEST)/python -m pytest -n 2 -m 'not nightly'

# Writes the generated tables of the README and the docs.
tables: .venv/.installed
	$(BIN)/python docs/tables.py

docs: .venv/.installed
	$(BIN)/python docs/assemble.py build
	$(BIN)/zensical build --strict --config-file build/mkdocs.yml

.venv/.bench: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[bench]'
	touch $@

# compiled.py needs a C++ compiler. On a GPU: make bench DEVICE=cuda
bench: .venv/.bench
	$(BIN)/python benchmarks/eager.py --device $(DEVICE)
	$(BIN)/python benchmarks/composite_cost.py --device $(DEVICE)
	$(BIN)/python benchmarks/compiled.py --device $(DEVICE)
	$(BIN)/python benchmarks/configs.py

clean:
	rm -rf .venv .venv-lowest build dist
