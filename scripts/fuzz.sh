#!/usr/bin/env bash
# Runs the fuzz targets one after the other, each for FUZZTIME (60s):
#
#   scripts/fuzz.sh [regular expression]      only targets whose name matches
#
# An input that fails is written to testdata/fuzz beside its test: commit it with
# the correction, and make test tries it ever after.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1-} != --with-servers ]]; then
  mkdir -p bin
  go build -o bin/teststack ./pkg/devstack/cmd/teststack
  packages=$(bin/teststack missing)
  read -ra missing <<<"$packages"
  if ((${#missing[@]})); then
    scripts/install-servers.sh "${missing[@]}"
  fi
  exec bin/teststack -- scripts/fuzz.sh --with-servers "$@"
fi

failed=()
ran=0
while IFS=: read -r file function; do
  target=${function#func }
  [[ $target =~ ${2-} ]] || continue
  ran=$((ran + 1))
  printf '\n=== %s in %s\n' "$target" "$(dirname "$file")"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" "./$(dirname "$file")" </dev/null || failed+=("$target")
done < <(git ls-files -z --cached --others --exclude-standard '*_test.go' | xargs -0 grep -oE '^func Fuzz[A-Za-z0-9_]+' | sort)

if ((ran == 0)); then
  echo "fuzz: there is no target $2" >&2
  exit 1
fi
if ((${#failed[@]})); then
  printf 'fuzz: FAILED: %s\n' "${failed[*]}" >&2
  exit 1
fi
printf '\nfuzz: %d targets, nothing found\n' "$ran"
