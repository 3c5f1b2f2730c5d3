PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test nightly clean

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
	$(BIN)/python -m pytest -m 'not nightly' --cov --cov-report=term

nightly: .venv/.installed
	$(BIN)/python -m pytest

clean:
	rm -rf .venv build dist
