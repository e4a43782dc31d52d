#!/usr/bin/env bash
# Holds the lines that the architecture draws: which library may be used where.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# only PATTERN ALLOWED-PATHS PLACES... : lines matching PATTERN in PLACES only under ALLOWED-PATHS
only() {
  local what=$1 pattern=$2 allowed=$3
  shift 3
  local found
  found=$(grep -rnE --include='*.rs' "$pattern" "$@" | grep -vE "^($allowed)" || true)
  if [ -n "$found" ]; then
    printf '%s may be used only in %s:\n%s\n\n' "$what" "$allowed" "$found" >&2
    failed=1
  fi
}

only worker '\b(worker|web_sys|js_sys|wasm_bindgen)::' 'edge/src/runtime' edge/src shared/src
only sqlx '\bsqlx::' 'control-plane/src/store' control-plane/src
only redis '(^|[^:_a-z])redis::' 'control-plane/src/events/log/redis' control-plane/src
only OpenTelemetry '\bopentelemetry(_[a-z]+)?::' 'control-plane/src/telemetry|control-plane/src/api/trace.rs' control-plane/src
only axum '\baxum::' 'control-plane/src/api|control-plane/src/cli' control-plane/src
only 'async, I/O and the clock' '\b(async fn|tokio::|std::(fs|net|time::(SystemTime|Instant)))' 'shared/src/golden.rs' shared/src

only 'what the oracle judges' '\b(shared|edge|control_plane)::' 'nothing of the oracle itself' \
  tests/tests/oracle/model.rs tests/tests/oracle/expect.rs tests/tests/oracle/published.rs

# Without its feature `runtime`, the edge knows nothing of Workers: benchmarks and tests link that.
if cargo tree --locked --quiet -p edge --no-default-features -e normal --target all --prefix none |
  grep -E '^(worker|wasm-bindgen|js-sys|web-sys) '; then
  printf 'The crates above may be dependencies of the edge only with its feature `runtime`.\n\n' >&2
  failed=1
fi

exit $failed
