#!/usr/bin/env bash
# Builds what is released into dist/:
#
#   scripts/release.sh VERSION          such as 1.2.3
#
#   lanekeeper_VERSION_linux_ARCH              a static program, for amd64 and for arm64
#   lanekeeper_VERSION_linux_ARCH.cdx.json     what is in it (CycloneDX)
#   lanekeeper_VERSION_linux_ARCH.image.tar    a container image: docker load, podman load
#   lanekeeper_VERSION_ARCH.deb                a package for Debian and Ubuntu
#   lanekeeper-VERSION.tgz                     the Helm chart
#   SHA256SUMS
#
# The same sources and the same Go make the same files, wherever they are built.
# MAINTAINER, a name and an address, is who made the package; the author of the last
# commit unless given.
set -euo pipefail
cd "$(dirname "$0")/.."

# No program may be larger. One that suddenly is by 14 MB looks up methods by names that the
# linker does not know, and so has to keep all of them: docs/adr/0038-packages.md.
most=$((35 * 1000 * 1000))

version=${1:-}
if [[ ! $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
  echo "usage: $0 VERSION, such as 1.2.3" >&2
  exit 2
fi
in_repository() { git -c safe.directory='*' "$@" 2>/dev/null; }
commit=$(in_repository rev-parse HEAD) || commit=unknown
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(in_repository log -1 --format=%ct || echo 0)}
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
MAINTAINER=${MAINTAINER:-$(in_repository log -1 --format='%an <%ae>' || echo 'Lanekeeper <root@localhost>')}
export SOURCE_DATE_EPOCH MAINTAINER

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf dist
mkdir dist
flags=$(scripts/ldflags.sh "$version")
# These build and run on this machine, whatever is built with them.
for tool in nfpm image; do
  package=./image
  [[ $tool == image ]] || package=github.com/goreleaser/nfpm/v2/cmd/nfpm
  CGO_ENABLED=0 go build -C tools/package -trimpath -buildvcs=false -o "$work/$tool" "$package"
done

for arch in amd64 arm64; do
  program=lanekeeper_${version}_linux_$arch
  echo "building $program"
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -tags nomsgpack,grpcnotrace -ldflags="-s -w -buildid= $flags" -o "dist/$program" .
  size=$(stat -c %s "dist/$program")
  if ((size > most)); then
    echo "release: $program has $size bytes, more than $most" >&2
    exit 1
  fi
  # From the program itself, so that it names what is linked and nothing else.
  go tool -modfile=tools/release/go.mod cyclonedx-gomod bin -json -std -licenses -noserial -version "v$version" -output "dist/$program.cdx.json" "dist/$program" 2>"$work/log" || {
    cat "$work/log" >&2
    exit 1
  }
  "$work/image" -program "dist/$program" -arch $arch -version "$version" -created "$created" -revision "$commit" -output "dist/$program.image.tar"
done

# What the packages have in common is made by the program that runs here.
native=dist/lanekeeper_${version}_linux_$(go env GOHOSTARCH)
for shell in bash zsh fish; do "$native" completion $shell >"$work/completion.$shell"; done
gzip -9n <CHANGELOG.md >"$work/changelog.gz"
for arch in amd64 arm64; do
  program=dist/lanekeeper_${version}_linux_$arch
  cp "$program" "$work/lanekeeper"
  gzip -9n <"$program.cdx.json" >"$work/lanekeeper.cdx.json.gz"
  find "$work" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
  ARCH=$arch VERSION=$version BUILD=$work "$work/nfpm" package --config deploy/debian/nfpm.yaml --packager deb --target "dist/lanekeeper_${version}_$arch.deb" >/dev/null
done

cp -r deploy/helm/lanekeeper "$work/chart"
sed -i "s/^\(version\|appVersion\): .*/\1: $version/" "$work/chart/Chart.yaml"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" --transform='s,^chart,lanekeeper,' -cf - chart |
  gzip -9n >"dist/lanekeeper-$version.tgz"

(cd dist && sha256sum -- * >SHA256SUMS)
ls -l dist
