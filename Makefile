# Thin on purpose: each target is one command that also works without make.
.DEFAULT_GOAL := help
.PHONY: help setup demo report test verify bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with the locked packages
	@scripts/setup.sh

demo: ## scenario reports on the embedded market, then the dashboard (Ctrl-C ends it)
	@$(call timed,.venv/bin/maxtrader demo)

report: ## the same reports without the dashboard
	@$(call timed,.venv/bin/maxtrader demo --no-dashboard)

test: ## everything that CI checks
	@scripts/check.sh

verify: ## the slow sweeps
	@$(call timed,.venv/bin/pytest -m slow)

bench: ## benchmarks, also written to var/bench.json
	@$(call timed,.venv/bin/python -m benchmarks)

lock: ## make requirements.lock and environment.yml anew (UPGRADE=1 takes newer versions)
	@scripts/setup.sh && .venv/bin/python scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove caches and build leftovers; .venv and var stay
	rm -rf build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Set-up, the command, the wall time. The trap lets Ctrl-C end the command and still print the time.
timed = began=$$(date +%s); trap : INT; scripts/setup.sh && $(1); status=$$?; \
	echo "make $@: wall time $$(($$(date +%s) - began)) s"; exit $$status
