#!/usr/bin/env bash
# Builds Lanekeeper and runs it. Without DATABASE_URL and RABBITMQ_URL it makes
# sure first that the programs for private servers are there.
set -euo pipefail
cd "$(dirname "$0")/.."

# A configuration file may name the servers, too.
configured() {
  [[ -f config/config.yaml ]] && grep -Eq '^[[:space:]]+url:[[:space:]]*["'\'']?(postgres|postgresql|amqps?)://' config/config.yaml
}

if [[ -z ${DATABASE_URL:-} && -z ${RABBITMQ_URL:-} ]] && ! configured; then
  scripts/install-servers.sh
fi
scripts/build.sh
# The program takes the place of this shell, so that Ctrl-C is its business.
exec bin/lanekeeper "$@"
