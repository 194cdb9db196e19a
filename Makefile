# One target per habit. Everything but `install` and `bench` shares one cargo profile and one target folder.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR ?= $(CURDIR)/target
GPUMKT := $(CARGO_TARGET_DIR)/debug/gpumkt
PREFIX ?= /usr/local
# Set KEEP=1 to leave the demo's network running.
KEEP ?=
# Rounds of `make chaos`.
ROUNDS ?= 5
# Set PROFILE=dev to bench without waiting for an optimised build; the figures are then worth less.
PROFILE ?= release

.PHONY: deb errors help setup build demo e2e-real test lint fmt check check-full bench chaos chaos-net lifecycle fuzz symbolic coverage static vectors abi dapp dapp-test install clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Install what is missing: system packages, npm packages (idempotent, quick when nothing is)
	@scripts/setup.sh full

build: ## Build target/debug/gpumkt
	@scripts/setup.sh build
	@cargo build --locked

demo: ## One rental on two local chains, end to end (KEEP=1 leaves it running)
	@scripts/setup.sh demo
	@[[ -x $(GPUMKT) ]] || echo 'building gpumkt; the first time this takes some minutes'
	@cargo build --locked
	@$(GPUMKT) devnet demo $(if $(KEEP),--keep)

e2e-real: ## The demo on real clients: core-geth and go-ethereum, built from source the first time
	@scripts/setup.sh build
	@cargo build --locked
	@$(GPUMKT) devnet demo --dir target/e2e-real --clients "$$(scripts/clients.sh)" $(if $(KEEP),--keep)
	@node scripts/report.mjs target/e2e-real/report.json

test: ## All Rust and Solidity tests
	@scripts/check.sh forge compile tests

lint: ## Formatting, layering, licences, clippy
	@scripts/check.sh format layering licences clippy

fmt: ## Format Rust and Solidity
	@scripts/setup.sh full
	@cargo fmt
	@npm --prefix contracts run --silent fmt

check: ## Everything CI runs: lint, artifacts, all tests, vectors, one demo
	@scripts/check.sh

check-full: check symbolic fuzz chaos chaos-net lifecycle e2e-real ## check, proofs, deep fuzzing, faults, real clients: before a capability is called done

fuzz: ## Deep property and invariant tests of both languages
	@scripts/setup.sh full
	@npm --prefix contracts run --silent test:deep
	@PROPTEST_CASES=20000 cargo test --locked --lib
	@PROPTEST_CASES=200000 cargo test --locked --release --test it -- differential

chaos: ## Throw faults at Kings and relay for ROUNDS rounds (5); writes target/chaos/summary.json
	@scripts/setup.sh demo
	@GPUMKT_CHAOS_ROUNDS=$(ROUNDS) cargo test --locked --test it -- chaos::no_message_is chaos::no_message_stops --nocapture

chaos-net: ## Throw faults of the network at all roles, each in a network namespace (root); writes target/chaos-net/summary.json
	@scripts/setup.sh demo
	@cargo test --locked --test it -- namespaces::chaos --nocapture

lifecycle: ## Whole networks: a rental of two devices through outages, and a cheat among real nodes
	@scripts/setup.sh full
	@cargo test --locked --test it -- lifecycle:: --nocapture

symbolic: ## Prove the arithmetic of settlement and vesting (installs halmos into target/symbolic)
	@scripts/setup.sh full
	@scripts/symbolic.sh

coverage: ## Line and branch coverage of the contracts; fails below 98 % of lines
	@scripts/setup.sh full
	@scripts/coverage.sh

static: ## Slither over the contracts; fails on a kind of finding that docs/security.md does not answer
	@scripts/setup.sh full
	@scripts/static.sh

bench: ## Measure; writes target/bench/summary.json
	@scripts/setup.sh bench
	@cargo build --locked --profile $(PROFILE)
	@node scripts/bench.mjs $(CARGO_TARGET_DIR)/$(subst dev,debug,$(PROFILE))/gpumkt

vectors: build ## Write the protocol's test vectors anew
	@$(GPUMKT) vectors --json >contracts/test/vectors.json.new
	@mv contracts/test/vectors.json.new contracts/test/vectors.json

abi: ## Compile the contracts and write contracts/abi anew
	@scripts/setup.sh full
	@npm --prefix contracts run --silent abi

dapp: ## Build the web pages into dapp/dist, which is committed (needs Node.js)
	@npm --prefix dapp ci --no-audit --no-fund --silent
	@npm --prefix dapp run --silent build

dapp-test: ## Type checks, unit tests and staleness of the web pages, then Chromium against a devnet
	@scripts/setup.sh web
	@cargo build --locked
	@npm --prefix dapp ci --no-audit --no-fund --silent
	@npm --prefix dapp run --silent check
	@npm --prefix dapp run --silent e2e

install: ## Optimised build into PREFIX (/usr/local), with example configs and systemd units
	@scripts/setup.sh build
	@cargo build --locked --profile dist
	@to='$(DESTDIR)$(PREFIX)'; sudo=; mkdir -p "$$to/bin" 2>/dev/null && [[ -w $$to/bin ]] || sudo=sudo; \
	$$sudo install -Dm755 '$(CARGO_TARGET_DIR)/dist/gpumkt' "$$to/bin/gpumkt"; \
	$$sudo install -Dm644 -t "$$to/share/gpumkt" config/*.toml; \
	$$sudo install -Dm644 -t "$$to/lib/systemd/system" config/systemd/*.service; \
	$$sudo install -Dm644 config/systemd/sysusers.conf "$$to/lib/sysusers.d/gpumkt.conf"; \
	echo "installed $$to/bin/gpumkt; example configs in $$to/share/gpumkt, units in $$to/lib/systemd/system"

deb: ## A Debian package, in target/deb: program, units, configs, manual pages, completions, bill of materials
	@scripts/setup.sh build
	@cargo build --locked --profile $(if $(filter dev,$(PROFILE)),dev,dist)
	@scripts/deb.sh $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,dist)/gpumkt

errors: ## Write docs/errors.md and the dashboard anew
	@node scripts/errors.mjs
	@node scripts/dashboard.mjs

clean: ## Remove everything that was built
	@cargo clean
	@rm -rf target contracts/out contracts/cache
