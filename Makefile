# The commands of this project; the README says what each does.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check bench soak deploy build worker tools sdk servers

# The Node that wrangler needs comes with `npm ci`.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

EDGE_SOURCES := $(shell find edge/src shared/src -type f) edge/Cargo.toml shared/Cargo.toml Cargo.toml Cargo.lock rust-toolchain.toml

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

run: build ## the whole system on this machine, with a demo project and token
	@exec node scripts/run.mjs

build: worker
	cargo build --locked -p control-plane -p example-upstream

worker: tools node_modules/.package-lock.json edge/build/index.js

# Builds the programs too. Had they been built alone before, with the features that
# they need alone, most dependencies would be compiled twice.
test: worker sdk servers ## every test
	cargo test --locked --workspace
	node tests/sinks/capture.mjs --check
	scripts/fuzz.sh short

check: tools node_modules/.package-lock.json ## format, lints, dependency policy, boundaries
	@scripts/tools.sh check
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p edge --target wasm32-unknown-unknown -- -D warnings
	scripts/check-dependencies.sh
	scripts/check-boundaries.sh

bench: build sdk servers ## the benchmarks, each beside its floor or peer
	cargo build --locked --profile edge --target wasm32-unknown-unknown -p latchkey-lookup
	scripts/build-edge.sh tests/relay
	cargo build --locked --release -p latchkey-tests --bin bench
	target/release/bench

soak: build servers ## the long fault and load tests, about three and a half hours; SOAK="NAME..." runs only those
	cargo build --locked --release -p latchkey-tests --bin soak -p control-plane --bin latchkey
	target/release/soak $(SOAK)

deploy: build ## deploy the edge
	@node scripts/deploy.mjs

tools:
	@scripts/tools.sh build

servers:
	@scripts/servers.sh

sdk: tests/sdk/node_modules/.package-lock.json tests/sinks/node_modules/.package-lock.json tests/sdk/.venv/installed

node_modules/.package-lock.json: package-lock.json
	npm ci
	@touch $@

tests/sdk/node_modules/.package-lock.json: tests/sdk/package-lock.json node_modules/.package-lock.json
	npm ci --prefix tests/sdk
	@touch $@

tests/sinks/node_modules/.package-lock.json: tests/sinks/package-lock.json node_modules/.package-lock.json
	npm ci --prefix tests/sinks
	@touch $@

tests/sdk/.venv/installed: tests/sdk/requirements.txt
	@scripts/python.sh
	tests/sdk/.venv/bin/pip install --quiet --require-hashes -r tests/sdk/requirements.txt
	@touch $@

edge/build/index.js: $(EDGE_SOURCES) scripts/build-edge.sh | tools node_modules/.package-lock.json
	scripts/build-edge.sh
	@touch $@
