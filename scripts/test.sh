#!/usr/bin/env bash
# Runs go test with PostgreSQL, RabbitMQ and Redis for the tests:
#
#   scripts/test.sh [arguments of go test]      ./... without any
#
# Where the servers come from, pkg/devstack/testservers tells; TESTSTACK=env,
# docker or local forces it. TEST_FLAGS replaces the flags of go test, -durable
# among STACK_FLAGS makes commits survive a crash (for measurements).
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra flags <<<"${TEST_FLAGS-detect}"
read -ra stack <<<"${STACK_FLAGS-}"

if [[ ${flags[*]} == detect ]]; then
  flags=(-timeout 30m)
  if [[ $(go env CGO_ENABLED) == 1 ]] && command -v "$(go env CC)" >/dev/null; then
    flags+=(-race)
  else
    echo "test: no C compiler (or CGO_ENABLED=0): running without the race detector" >&2
  fi
fi

mkdir -p bin
go build -o bin/teststack ./pkg/devstack/cmd/teststack
packages=$(bin/teststack missing)
read -ra missing <<<"$packages"
# A test has PgBouncer between the service and PostgreSQL.
[[ -x /usr/sbin/pgbouncer ]] || command -v pgbouncer >/dev/null || missing+=(pgbouncer)
if ((${#missing[@]})); then
  scripts/install-servers.sh "${missing[@]}"
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
# tee must outlive a Ctrl-C: what writes to it still has servers to stop.
bin/teststack "${stack[@]}" -- go test "${flags[@]}" "${@:-./...}" 2>&1 | tee -i "$output" || status=$?
if ((status)); then
  printf '\ntest: FAILED\n' >&2
  # What was wrong, once more: between it and the end there may be a lot of output.
  grep -E -A 14 '^[[:space:]]+Error Trace:|WARNING: DATA RACE|^panic:' "$output" | cut -c 1-400 | head -n 200 >&2 || true
  grep -E '^ *--- FAIL|^FAIL|^panic:|WARNING: DATA RACE|^teststack: error: ' "$output" | sort -u >&2 || true
fi
exit "$status"
