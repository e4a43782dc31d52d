#!/usr/bin/env bash
# Makes tests/sdk/.venv, for the SDKs that are written in Python.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf tests/sdk/.venv
if python3 -m venv tests/sdk/.venv 2>/dev/null; then exit 0; fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "==> installing python3-venv"
  apt-get update -qq && apt-get install -qq -y python3-venv
  exec python3 -m venv tests/sdk/.venv
fi
echo "The tests need Python 3 with its venv module (Debian: apt-get install python3-venv)." >&2
exit 1
