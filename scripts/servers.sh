#!/usr/bin/env bash
# Installs the servers that the tests start, the client that the benchmarks compare
# with, and strace, by which a test sees that data reach the disk, where the package
# manager can. Prints nothing when all are there. The tests start the servers
# themselves, on free ports.
set -euo pipefail

have_postgresql() { # its server programs, which Debian keeps off the PATH
  local folder
  for folder in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin ${PATH//:/ }; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then return; fi
  done
  return 1
}

missing=() # Debian packages
have_postgresql || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v redis-cli >/dev/null && command -v redis-benchmark >/dev/null || missing+=(redis-tools)
command -v strace >/dev/null || missing+=(strace)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
if [ ${#missing[@]} = 0 ]; then exit; fi

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  as_root=(false)
fi
if ! command -v apt-get >/dev/null || [ "${as_root[*]}" = false ]; then
  echo "The tests and benchmarks need these packages, which only an administrator can install here: ${missing[*]}." >&2
  echo "On Debian or Ubuntu: sudo apt-get update && sudo apt-get install ${missing[*]}" >&2
  exit 1
fi

install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

echo "==> installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
if ! have_postgresql; then
  # Otherwise the package would set up and start a server of its own.
  install postgresql-common
  "${as_root[@]}" sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
fi
if ! command -v redis-server >/dev/null && [ ! -e /usr/sbin/policy-rc.d ]; then
  # The same for Redis: this policy keeps packages from starting what they install.
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
  trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
  "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
fi
install "${missing[@]}"
if [[ " ${missing[*]} " = *" redis-server "* ]] && [ -d /run/systemd/system ]; then
  # Nor is it started with the machine.
  "${as_root[@]}" systemctl --quiet disable --now redis-server
fi
