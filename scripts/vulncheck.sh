#!/usr/bin/env bash
# Looks for known vulnerabilities in what the service calls, with govulncheck:
#
#   scripts/vulncheck.sh [packages]     ./... without any
#
# Its database is at https://vuln.go.dev. Where that cannot be asked, this says so
# and succeeds: a machine without the Internet can tell nothing. It fails when
# something was found, and when anything else goes wrong, as when GOVULNDB names
# another database (a URL, also file:///...) and that cannot be asked.
set -euo pipefail
cd "$(dirname "$0")/.."

public=https://vuln.go.dev
database=${GOVULNDB:-$public}
packages=("$@")
((${#packages[@]})) || packages=(./...)
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
go tool -modfile=tools/release/go.mod govulncheck -db "$database" "${packages[@]}" >"$output" 2>&1 || status=$?
cat "$output"
case $status in
0) ;;
3) # what govulncheck exits with when it has found something
  echo "vulncheck: FAILED: there are known vulnerabilities" >&2
  exit 1
  ;;
*)
  if [[ $database == "$public" ]] && grep -q '^govulncheck: fetching vulnerabilities: ' "$output"; then
    echo "vulncheck: the database of vulnerabilities ($public) could not be asked: NOTHING WAS CHECKED" >&2
    exit 0
  fi
  echo "vulncheck: FAILED with status $status" >&2
  exit 1
  ;;
esac
