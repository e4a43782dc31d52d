#!/usr/bin/env bash
# Runs the targets of tests/fuzz under libFuzzer, as many at once as there are processors.
#
# usage: scripts/fuzz.sh [short|SECONDS] [TARGET...]
#        scripts/fuzz.sh reproduce TARGET FILE
#   short     25,000 runs of each target, 20 s at most, from the seeds alone and, if
#             the time suffices, the same every time (default)
#   SECONDS   so long for each target, going on from what earlier runs have found,
#             which is kept in target/fuzz/corpus
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# libFuzzer is C++. The `cc` crate takes $CXX, or c++.
find_compiler() {
  local compiler
  for compiler in "${CXX:-c++}" g++ clang++; do
    if command -v "$compiler" >/dev/null; then
      export CXX=$compiler
      return
    fi
  done
  return 1
}

need_compiler() {
  find_compiler && return
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "==> installing g++"
    apt-get update -qq && apt-get install -qq -y g++
    find_compiler && return
  fi
  echo "Fuzzing needs a C++ compiler (Debian: apt-get install g++)." >&2
  exit 1
}

# What `cargo fuzz build --sanitizer none` passes, which stable Rust takes too. With
# --target, build scripts are spared.
build() {
  local flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
  flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
  flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
  RUSTFLAGS=$flags cargo build --locked --quiet --package latchkey-fuzz --features libfuzzer --bins \
    --profile fuzz --target "$host" --target-dir "$out"
}

program() { echo "$out/$host/fuzz/$1"; }

# One target; its log is shown only when something was found.
fuzz() { # target short|seconds
  local target=$1 log="$out/log/$1" crashes="$out/crashes/$1" corpus limits code=0
  mkdir -p "$out/log" "$crashes"
  if [ "$2" = short ]; then
    corpus=$(mktemp -d "$out/short.XXXXXX")
    # With a reload, which is by the clock, two runs would differ.
    limits="-seed=1 -reload=0 -runs=25000 -max_total_time=20"
  else
    corpus="$out/corpus/$target"
    mkdir -p "$corpus"
    limits="-max_total_time=$2"
  fi
  # shellcheck disable=SC2086 # the limits are several words
  "$(program "$target")" $limits -max_len=8192 -timeout=60 -rss_limit_mb=1024 -print_final_stats=1 \
    -dict=tests/fuzz/json.dict -artifact_prefix="$crashes/" "$corpus" "tests/fuzz/seeds/$target" \
    >"$log" 2>&1 || code=$?
  if [ "$2" = short ]; then rm -rf "$corpus"; fi
  report "$target" "$log" "$code"
  return "$code"
}

report() { # target log code
  local runs coverage outcome=ok
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$2")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 edges, \2 features/p' "$2" | tail -n 1)
  if [ "$3" != 0 ]; then
    outcome=FAILED
    tail -n 60 "$2"
    echo "reproduce with: scripts/fuzz.sh reproduce $1 $(sed -n 's/.*Test unit written to //p' "$2" | tail -n 1)"
  fi
  echo "fuzz $1: $outcome, ${runs:-?} runs, ${coverage:-no coverage}"
}

reproduce() { # target file
  exec "$(program "$1")" -rss_limit_mb=1024 -timeout=60 "$2"
}

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

mode=${1:-short}
shift || true
[[ $mode =~ ^(short|reproduce|[1-9][0-9]*)$ ]] || usage
if [ "$mode" = reproduce ] && [ $# != 2 ]; then usage; fi
need_compiler
build
if [ "$mode" = reproduce ]; then reproduce "$@"; fi

targets=("$@")
if [ $# = 0 ]; then mapfile -t targets < <(basename -s .rs tests/fuzz/targets/*.rs); fi
failed=0
for target in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || failed=1; done
  fuzz "$target" "$mode" &
done
while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
exit $failed
