# Two commands for a newcomer: `make demo` and `make test`. Each target sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo run test test-long bench fuzz lint package generated audit clean

demo: .venv/runtime
	@$(BIN)/ytmp3d demo

run: .venv/runtime
	@$(BIN)/ytmp3d serve

# Side by side, in more processes than there are cores: see pytest_xdist_auto_num_workers in tests/conftest.py.
test: .venv/tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not long'

# What takes too long for every change: faults, attacks, updates, an hour of audio, the browser, every reserved video.
test-long: .venv/tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m long

bench: .venv/tests
	$(BIN)/python -m tests.bench

fuzz: .venv/fuzz
	$(BIN)/python -m tests.fuzz

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

package: .venv/pip
	$(BIN)/python -m tests.package

# A client that openapi-python-client generates converts a link.
generated: .venv/runtime
	$(BIN)/python -m tests.generated

# Information only: known weaknesses of what is installed.
audit: .venv/runtime
	@$(BIN)/python -m tests.audit

clean:
	rm -rf .venv build dist

.venv/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ytmp3d needs Python 3.11 or later: make PYTHON=python3.11")'
	@echo 'Setting up .venv, once; it takes half a minute with a fast network.'
	@$(PYTHON) -m venv .venv
	@touch $@

# setup.cfg is the one list of what is needed; a changed one makes these stale.
.venv/runtime: setup.cfg | .venv/pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[offline]'
	@touch $@

.venv/tests: setup.cfg | .venv/pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[offline,test]'
	@touch $@ .venv/runtime

.venv/fuzz: setup.cfg | .venv/pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[offline,test,fuzz]'
	@touch $@ .venv/runtime .venv/tests

.venv/lint: setup.cfg | .venv/pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[offline,test,fuzz,lint]'
	@touch $@ .venv/runtime .venv/tests .venv/fuzz
