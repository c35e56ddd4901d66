#!/usr/bin/env bash
# Installs the server programs that make run and make test start as private
# servers, as far as they are missing:
#
#   scripts/install-servers.sh [postgresql] [rabbitmq-server] [redis-server] [iproute2] [nginx-light] [pgbouncer]
#   scripts/install-servers.sh curl default-jdk-headless librabbitmq-client-java nodejs npm python3 python3-pika prometheus   for make interop
#   scripts/install-servers.sh chromium nodejs npm   for make browser
#
# It installs on Debian and Ubuntu as root only. Anywhere else it prints what to
# do and fails. The services that the packages bring along are not started.
set -euo pipefail

installed() { # installed PACKAGE: are its programs on this machine?
  case $1 in
  postgresql) compgen -G '/usr/lib/postgresql/*/bin/postgres' || compgen -G '/usr/pgsql-*/bin/postgres' ||
    compgen -G '/opt/homebrew/opt/postgresql@*/bin/postgres' || compgen -G '/usr/local/opt/postgresql@*/bin/postgres' ||
    command -v initdb ;;
  rabbitmq-server) [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || command -v rabbitmq-server ;;
  redis-server) command -v redis-server ;;
  iproute2) command -v ip || [[ -x /usr/sbin/ip || -x /sbin/ip ]] ;; # cuts networks in make chaos
  nginx-light) command -v nginx || [[ -x /usr/sbin/nginx ]] ;; # stands before the service in make chaos
  curl | npm | python3 | prometheus | chromium) command -v "$1" ;;
  python3-pika) /usr/bin/python3 -c "import pika" 2>/dev/null ;;
  nodejs) command -v node ;;
  default-jdk-headless) command -v javac ;;
  librabbitmq-client-java) [[ -r /usr/share/java/amqp-client.jar && -r /usr/share/java/slf4j-api.jar ]] ;;
  pgbouncer) [[ -x /usr/sbin/pgbouncer ]] || command -v pgbouncer ;;
  *)
    echo "install-servers: unknown package $1" >&2
    exit 2
    ;;
  esac >/dev/null
}

wanted=("$@")
((${#wanted[@]})) || wanted=(postgresql rabbitmq-server redis-server)
missing=()
for package in "${wanted[@]}"; do installed "$package" || missing+=("$package"); done
((${#missing[@]})) || exit 0

system=
if [[ -r /etc/os-release ]]; then
  system=$(sed -n 's/^ID="\{0,1\}\([a-z]*\).*/\1/p' /etc/os-release)
fi
if [[ $system != debian && $system != ubuntu ]]; then
  hint="install them with your system's package manager"
  if command -v brew >/dev/null; then hint="run: brew install postgresql@17 rabbitmq redis"; fi
  echo "not installed: ${missing[*]}; $hint, or use servers of your own (make help tells how)" >&2
  exit 1
fi
if ((EUID != 0)); then
  echo "not installed: ${missing[*]}; run: sudo $0 ${missing[*]}" >&2
  exit 1
fi

# While packages are installed, nothing may start their services. What was
# there before comes back at the end, also when this fails or is interrupted.
policy=/usr/sbin/policy-rc.d
saved=$policy.lanekeeper-saved
log=$(mktemp)
restore() {
  status=$?
  if [[ -e $saved ]]; then mv -f "$saved" "$policy"; else rm -f "$policy"; fi
  if ((status)); then
    printf '\ninstall-servers: failed; the end of what apt said:\n' >&2
    tail -n 20 "$log" >&2
  fi
  rm -f "$log"
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ -e $policy ]]; then mv "$policy" "$saved"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" 2>>"$log"; }
echo "installing with apt: ${missing[*]} (takes about 20 s; their services are not started)"
apt update >>"$log"
echo "these packages:"
apt install --simulate "${missing[@]}" | tee -a "$log" | sed -n 's/^Inst \([^ ]*\).*/\1/p' | sort | tr '\n' ' ' | fold -s -w 96 | sed 's/^/  /'
echo
# One dot for each package that is ready.
apt install "${missing[@]}" | tee -a "$log" | while read -r line; do
  [[ $line != "Setting up "* ]] || printf .
done
echo
for package in "${missing[@]}"; do
  echo "installed: $package $(dpkg-query --showformat '${Version}' --show "$package")"
done
