# The entry points. Each installs what is missing first; root is turned into an
# ordinary user by scripts/enter. The work is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-kvm fmt docs clean test-kvm test-kernel test-trixie test-long

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: ## install what is missing, build, run an example's tests in a VM
	@scripts/enter demo

test: ## install what is missing, run every test that this host can run
	@scripts/enter test

check: ## format, lint, types, layers, unit tests, generated pages
	@scripts/enter check

bench: ## measure; writes docs/performance.md's numbers and raw samples
	@scripts/enter bench

test-kvm: ## the KVM paths, on an emulated host with hardware virtualisation
	@scripts/enter test-kvm

test-kernel: ## build the small kernel from its source, and boot it
	@scripts/enter test-kernel

test-long: ## hours: all that `make test` tries samples of; RUNS="matrix kvm" for some
	@scripts/enter test-long

test-trixie: ## make test in a Debian 13 root; as root. TARGET=demo for another target
	@scripts/trixie $(or $(TARGET),test)

bench-kvm: ## measure each driver on hardware KVM; writes build/bench-kvm.md
	@scripts/enter bench-kvm

fmt: ## format the sources and fix what lint can fix
	@scripts/in-place fmt

docs: ## write the generated pages: api, cli, errors
	@scripts/in-place docs

clean: ## remove what was built here (the test caches of the user stay)
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@for each in native/*/; do $(MAKE) --no-print-directory -C $$each clean; done
