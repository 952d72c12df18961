# make live · test · lab · bench · prove · check: each sets up what it needs on first use, in .venv, from the lock.

# The system's own first: it was built optimised, and what version managers compile takes a quarter longer, all day.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: live test lab bench prove check lock strip

live: .venv/ready  ## a session that learns, on the simulated market, through papermill, in a few minutes
	@$(BIN)/qt live --params params/learning.yaml

test: .venv/ready  ## every test that this machine has the means for
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lab: .venv/ready  ## JupyterLab, on a page that says where to begin
	@$(BIN)/qt lab

bench: .venv/ready  ## how fast it is, as a table and as JSON under runs/
	@$(BIN)/python -m tests.bench

prove: .venv/ready  ## sessions through seeded trials by the thousand, and real ones through the kill matrix; then the gate. Goes on where it was
	@$(BIN)/python -m tests.prove
	@$(BIN)/python -m tests.prove_gate

check: .venv/ready  ## format, lint, types
	@$(BIN)/ruff format --check && $(BIN)/ruff check && $(BIN)/mypy

strip: .venv/ready  ## outputs and run metadata out of the notebooks
	@$(BIN)/python -m tests.notebook_form notebooks/*.ipynb

lock: .venv/ready  ## resolve pyproject.toml anew into the lock file
	@$(BIN)/uv pip compile pyproject.toml --universal --extra postgres --extra cluster --group dev --generate-hashes \
		--no-emit-index-url --no-header --python-version 3.11 --upgrade -q -o requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found on the path" >&2; exit 2; }
	@echo "setting up .venv (once, about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@
