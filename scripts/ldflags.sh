#!/usr/bin/env bash
# Prints the linker's flags that tell a program which build it is:
#
#   scripts/ldflags.sh [VERSION]          such as 1.2.3
#
# Commit and date are those of the sources, so that the same sources make the same
# program. Where there is no repository, or no git, they are left out.
set -euo pipefail
cd "$(dirname "$0")/.."

room=lanekeeper/pkg/version
flags=()
# A checkout may belong to another user. Nothing but reading is done with it.
in_repository() { git -c safe.directory='*' "$@" 2>/dev/null; }

if [[ -n ${1:-} ]]; then
  flags+=(-X "$room.version=$1")
fi
if commit=$(in_repository rev-parse HEAD); then
  in_repository diff --quiet HEAD || commit+=-dirty
  flags+=(-X "$room.commit=$commit" -X "$room.date=$(TZ=UTC in_repository log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)")
fi
echo "${flags[*]-}"
