PYTHON ?= python3
BIN := .venv/bin
DEVICE ?= cpu

.PHONY: run test nightly docs bench clean

# The mark is written last, so an interrupted install is done again.
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
	rm -rf .venv build dist
