#!/usr/bin/env bash
# Licenses, bans and sources of the dependencies; needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."
tools="${LATCHKEY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/latchkey/tools}"
# It reads the manifests of all platforms' crates; those not built here may not be there yet.
cargo fetch --locked --quiet
exec "$tools/cargo-deny-0.20.2/bin/cargo-deny" --offline check bans licenses sources
