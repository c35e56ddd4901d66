#!/usr/bin/env bash
# Builds bin/lanekeeper, and shows that it goes on while that takes long:
#
#   scripts/build.sh
#
# The first time everything that is linked is compiled, which takes about two minutes
# on two cores; from then on it is seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

program=bin/lanekeeper
if [[ -e $program ]]; then
  echo "building $program"
else
  echo "building $program; the first time takes about two minutes"
fi

# progress reads what go build -v says, the packages as they are compiled, and shows how
# many there were: on a terminal in a line that changes. All else it passes on.
progress() {
  local line count=0 shown=
  while IFS= read -r line; do
    if [[ ! $line =~ ^[A-Za-z0-9._~/-]+$ && $line != "go: downloading "* ]]; then
      [[ -z $shown ]] || printf '\r\033[K' >&2
      shown=
      printf '%s\n' "$line" >&2
      continue
    fi
    count=$((count + 1))
    if [[ -t 2 ]]; then
      shown=yes
      printf '\r\033[K  %d packages: %s' "$count" "${line:0:60}" >&2
    elif ((count % 100 == 0)); then
      printf '  %d packages\n' "$count" >&2
    fi
  done
  [[ -z $shown ]] || printf '\r\033[K' >&2
}

# nomsgpack leaves out a format that gin can speak and the service does not, 6 MB, and
# grpcnotrace pages of gRPC's that nobody serves, with which no method of anything could be
# left out: 14 MB.
CGO_ENABLED=0 go build -v -trimpath -tags nomsgpack,grpcnotrace -ldflags="$(scripts/ldflags.sh)" -o "$program" . 2>&1 | progress
