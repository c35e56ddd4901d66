#!/usr/bin/env bash
# Writes the libraries of the console, console/static/vendor, as npm has them in the
# versions below, and VERSIONS with where each file is from and what it must be:
#
#   scripts/vendor-console.sh
#
# The modules import each other by relative paths, since browsers know no packages:
# that, and the comments that name source maps, is all that is changed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=console/static/vendor
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

preact=preact@11.2.0
htm=htm@3.1.1
uplot=uplot@1.6.32

mkdir -p "$target"
unpack() { # unpack PACKAGE@VERSION: npm checks its checksum
  local name=${1%@*} packed
  packed=$(npm pack --silent --pack-destination "$temporary" "$1")
  mkdir "$temporary/$name"
  tar -xzf "$temporary/$packed" -C "$temporary/$name" --strip-components 1
}
for package in "$preact" "$htm" "$uplot"; do unpack "$package"; done

versions=$target/VERSIONS
licences=$target/LICENSES.txt
printf '# Written by scripts/vendor-console.sh: file, package, licence, sha256 of the file\n' >"$versions"
: >"$licences"

take() { # take PACKAGE@VERSION SOURCE FILE [SED]: writes FILE, and its line
  local name=${1%@*} licence
  sed -e '/^\/\/# sourceMappingURL=/d' -e "${4:-}" "$temporary/$name/$2" >"$target/$3"
  licence=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).license' "$temporary/$name/package.json")
  printf '%s %s %s %s\n' "$3" "$1" "$licence" "$(sha256sum "$target/$3" | cut -d ' ' -f 1)" >>"$versions"
}
take "$preact" dist/preact.mjs preact.js
take "$preact" hooks/dist/hooks.mjs hooks.js 's#from"preact"#from"./preact.js"#'
take "$htm" dist/htm.mjs htm.js
take "$uplot" dist/uPlot.iife.min.js uplot.js '$a export default uPlot;'
take "$uplot" dist/uPlot.min.css uplot.css

for package in "$preact" "$htm" "$uplot"; do
  printf '%s\n\n' "$package" >>"$licences"
  cat "$temporary/${package%@*}/LICENSE" >>"$licences"
  printf '\n\n' >>"$licences"
done
cat "$versions"
