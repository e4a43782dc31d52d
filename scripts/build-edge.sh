#!/usr/bin/env bash
# Builds the worker into edge/build, with the tools that scripts/tools.sh and `npm ci`
# installed.
#
# usage: scripts/build-edge.sh [FOLDER]   another worker, into FOLDER/build
set -euo pipefail
cd "$(dirname "$0")/.."

tools="${LATCHKEY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/latchkey/tools}"
wasm_bindgen=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock)
export PATH="$PWD/node_modules/.bin:$PATH"
# worker-build would download these three; it takes ours instead.
export WASM_BINDGEN_BIN="$tools/wasm-bindgen-cli-$wasm_bindgen/bin/wasm-bindgen"
export ESBUILD_BIN="$PWD/node_modules/.bin/esbuild"
export WASM_OPT_BIN="$PWD/node_modules/.bin/wasm-opt"

cd "${1:-edge}"
"$tools/worker-build-0.8.7/bin/worker-build" --profile edge
# An entry of its own, where there is one, goes before what was built.
if [ -f src/runtime/entry.js ]; then cp src/runtime/entry.js build/; fi
