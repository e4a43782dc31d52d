#!/usr/bin/env bash
# Installs the build tools that cargo must compile, once per user and version,
# so that a fresh clone does not pay for them again. Prints nothing when all are there.
#
# usage: scripts/tools.sh [build|check]
#   build  what `make run` and `make test` need (default)
#   check  also the dependency policy checker
set -euo pipefail
cd "$(dirname "$0")/.."

tools="${LATCHKEY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/latchkey/tools}"

# wasm-bindgen must be the very version in Cargo.lock: the two speak a private format.
wasm_bindgen=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock)

install() { # crate version binary
  local dir="$tools/$1-$2"
  [ -x "$dir/bin/$3" ] && return
  echo "==> installing $1 $2 into $dir (once per user; a few minutes)"
  mkdir -p "$tools"
  # Built beside and then renamed: a build that is interrupted leaves no half tool.
  # The target directory is shared, so dependencies in common compile once.
  local half="$dir.partial.$$"
  rm -rf "$dir".partial.*
  # --locked is the author's own lock file; a registry may have yanked or not yet have
  # one of its entries, and then the same version of the tool is resolved afresh.
  CARGO_TARGET_DIR="$tools/target" cargo install --locked --version "$2" --root "$half" "$1" ||
    CARGO_TARGET_DIR="$tools/target" cargo install --version "$2" --root "$half" "$1"
  rm -rf "$dir"
  mv "$half" "$dir"
}

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
  if ! command -v rustup >/dev/null; then
    echo "Rust's target wasm32-unknown-unknown is missing, and there is no rustup to add it: install Rust with rustup." >&2
    exit 1
  fi
  echo "==> adding Rust's target wasm32-unknown-unknown"
  rustup target add wasm32-unknown-unknown
fi
install wasm-bindgen-cli "$wasm_bindgen" wasm-bindgen
install worker-build 0.8.7 worker-build
if [ "${1:-build}" = check ]; then install cargo-deny 0.20.2 cargo-deny; fi
rm -rf "$tools/target"
