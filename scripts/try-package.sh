#!/usr/bin/env bash
# Installs a Debian package on this machine, runs the service as its unit would, sends a
# message through it, upgrades, removes and purges the package, and looks at what each
# of them leaves:
#
#   scripts/try-package.sh dist/lanekeeper_1.2.3_amd64.deb
#
# It wants root, and a machine that does not have the package: one for tests. The servers
# are private ones. systemd need not run: what the unit says is checked by
# systemd-analyze, where that is, and the program is started with the user, the
# configuration and the limits of the unit.
set -euo pipefail
cd "$(dirname "$0")/.."

package=${1:-}
if [[ ! -f $package ]]; then
  echo "usage: $0 PACKAGE.deb" >&2
  exit 2
fi
if ((EUID != 0)); then
  echo "try-package: not root: nothing was tried" >&2
  exit 1
fi
if [[ ${2-} != --with-servers ]]; then
  if dpkg-query --show lanekeeper >/dev/null 2>&1 || getent passwd lanekeeper >/dev/null; then
    echo "try-package: lanekeeper is installed here already" >&2
    exit 1
  fi
  mkdir -p bin
  go build -o bin/teststack ./pkg/devstack/cmd/teststack
  exec bin/teststack -- "$0" "$package" --with-servers
fi

work=$(mktemp -d)
pid=
finish() {
  status=$?
  trap - EXIT
  if [[ -n $pid ]]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  dpkg --purge lanekeeper >/dev/null 2>&1 || true
  deluser --quiet --system lanekeeper >/dev/null 2>&1 || true
  if ((status)) && [[ -s $work/log ]]; then tail -n 30 "$work/log" >&2; fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

fail() {
  echo "try-package: FAILED: $*" >&2
  exit 1
}
said() { printf '%s\n' "- $*"; }
# rights PATH WANTED compares owner, group and mode.
rights() {
  local have
  have=$(stat -c '%U:%G %a' "$1")
  [[ $have == "$2" ]] || fail "$1 is $have, not $2"
}
unit=/usr/lib/systemd/system/lanekeeper.service
config=/etc/lanekeeper/config.yaml
setting() { sed -n "s/^$1=//p" "$unit"; }
now() { echo $((${EPOCHREALTIME//[!0-9]/} / 1000)); } # in milliseconds
# latest is how long it may take from the package to a service that is ready, in
# milliseconds: to install it, to write the configuration, to start it and to make its
# tables in an empty database, beside servers that run. What is checked between does not
# count.
latest=15000

begun=$SECONDS
at=$(now)
dpkg --install "$package"
took=$(($(now) - at))
rights "$config" 'root:lanekeeper 640'
rights /etc/lanekeeper 'root:lanekeeper 750'
rights /var/lib/lanekeeper 'lanekeeper:lanekeeper 750'
rights /usr/bin/lanekeeper 'root:root 755'
[[ -z $(dpkg --verify lanekeeper) ]] || fail "files are not as they were packed: $(dpkg --verify lanekeeper)"
[[ ! -e /etc/systemd/system/multi-user.target.wants/lanekeeper.service ]] || fail "it is enabled"
said "installed, and not enabled"

if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify --man=no "$unit" || fail "systemd does not take the unit"
  systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$work/security" || fail "the unit is not locked: $(tail -n 1 "$work/security")"
  said "the unit: $(tail -n 1 "$work/security" | tr -s ' ')"
else
  said "no systemd-analyze here: the unit was not checked"
fi

# become_unit is a command as the unit would run it, as_unit runs it; with fewer open files where this machine
# allows no more.
files=$(setting LimitNOFILE)
most=$(ulimit -Hn)
if [[ $most != unlimited ]] && ((most < files)); then files=$most; fi
become_unit() {
  ulimit -n "$files"
  umask "$(setting UMask)"
  cd "$(setting WorkingDirectory)"
  exec setpriv --reuid "$(setting User)" --regid "$(setting Group)" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i PATH="$PATH" "$(setting Environment)" "$@"
}
as_unit() { (become_unit "$@"); }
read -ra start <<<"$(setting ExecStart)"
if as_unit "${start[@]}" 2>"$work/refused"; then fail "it starts without servers"; fi
grep -q 'jwt_secret (JWT_SECRET) must be set' "$work/refused" || fail "it does not say what is missing: $(cat "$work/refused")"
said "it does not start before it is configured"

at=$(now)
read -r app admin < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for one in s: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in s))')
cat >"$config" <<END
environment: production
app_host: "127.0.0.1"
app_port: $app
admin_port: $admin
jwt_secret: $(openssl rand -hex 32)
encryption_keys: ["$(openssl rand -base64 32)"]
database:
  url: "$TEST_DATABASE_URL"
rabbitmq:
  url: "$TEST_RABBITMQ_URL"
END
rights "$config" 'root:lanekeeper 640'
(become_unit "${start[@]}") 2>"$work/log" &
pid=$! # of the service itself
as_user() { as_unit env LANEKEEPER_URL="http://127.0.0.1:$app" LANEKEEPER_TOKEN="${token:-}" LANEKEEPER_PASSWORD='gravel mumble tax orbit' lanekeeper "$@"; }
for _ in $(seq 150); do
  if as_user healthcheck 2>/dev/null; then break; fi
  sleep 0.2
done
as_user healthcheck
took=$((took + $(now) - at))
((took <= latest)) || fail "from the package to a service that is ready: $took ms, more than $latest"
said "from the package to a service that is ready: $took ms, beside the servers (at most $latest)"
as_user user add --email ci@example.com --role admin >/dev/null
token=$(as_user token --email ci@example.com)
tenant=$(as_user tenants create packaged -o id)
as_user publish -t "$tenant" '{"text":"from the package"}' >/dev/null
[[ $(as_user tail -t "$tenant" --from 1 --limit 1 -o payload) == '{"text":"from the package"}' ]] || fail "the message is not stored"
said "from the package to a stored message: $((SECONDS - begun)) s, beside the servers"
[[ $(awk '/^CapEff|^CapBnd/ {print $2}' "/proc/$pid/status" | sort -u) =~ ^0+$ ]] || fail "it has capabilities"
as_user tenants delete "$tenant" --yes >/dev/null
kill "$pid"
wait "$pid" || fail "it does not end in order"
pid=

cp "$config" "$work/config.yaml"
dpkg --install "$package" >/dev/null
cmp "$config" "$work/config.yaml" || fail "an upgrade changed the configuration"
rights "$config" 'root:lanekeeper 640'
said "an upgrade leaves the configuration"
dpkg --remove lanekeeper >/dev/null
cmp "$config" "$work/config.yaml" || fail "removing took the configuration"
[[ ! -e /usr/bin/lanekeeper && ! -e $unit ]] || fail "removing left files"
dpkg --purge lanekeeper >/dev/null
[[ ! -e /etc/lanekeeper && ! -e /var/lib/lanekeeper && ! -e /usr/share/doc/lanekeeper ]] || fail "a purge left files"
said "removing leaves the configuration, a purge nothing"
