# Every target sets up what it needs: uv, .venv, the compiled llama-cpp-python.
export HF_HUB_OFFLINE = 1
export HF_HUB_DISABLE_TELEMETRY = 1
export DO_NOT_TRACK = 1
export TUNEDESK_UV = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tunedesk/uv/bin/uv
RUN = .venv/bin/python -m

.PHONY: setup demo test test-full lint bench app lock

setup:
	@.ci/setup

demo: setup
	@.venv/bin/tunedesk demo

app: setup
	@.venv/bin/tunedesk

test: setup
	@tests/servers/get_ollama.sh > /dev/null || true
	$(RUN) pytest -m "not slow"

test-full: setup
	@tests/servers/get_ollama.sh > /dev/null || true
	$(RUN) pytest

lint: setup
	$(RUN) ruff check .
	.venv/bin/pyright
	.venv/bin/lint-imports

bench: setup
	@set -e; for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; .venv/bin/python -m tests.benchmarks.$$(basename $$bench .py); done

lock:
	$(TUNEDESK_UV) pip compile --quiet --generate-hashes --extra train --extra dev \
	  --python-version 3.12 --no-header --no-annotate pyproject.toml -o requirements.lock
