#!/usr/bin/env bash
# Writes the digests of all images into Dockerfile and docker-compose.yml, behind
# their tags, so that the same images are used from then on:
#
#   scripts/pin-images.sh            ask the registries for what the tags are now
#
# Digests that are there already are replaced. A registry that cannot be asked ends
# it, and nothing is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

files=(Dockerfile docker-compose.yml)
# What we build ourselves has no digest.
mapfile -t images < <(sed -nE 's/^(ARG [A-Z]+_IMAGE=|[[:space:]]*image: )([^@[:space:]]+)(@sha256:[0-9a-f]+)?$/\2/p' "${files[@]}" | grep -v '^lanekeeper:' | sort -u)
((${#images[@]})) || { echo "pin-images: no images found" >&2; exit 1; }
declare -A digests
for image in "${images[@]}"; do
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}' 2>/dev/null) || {
    docker pull -q "$image" >/dev/null
    digest=$(docker image inspect "$image" --format '{{index .RepoDigests 0}}')
    digest=${digest#*@}
  }
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "pin-images: $image has no digest: $digest" >&2; exit 1; }
  digests[$image]=$digest
done
for image in "${images[@]}"; do
  pattern=$(sed 's/[.[\*^$/]/\\&/g' <<<"$image")
  sed -i -E "s/((^ARG [A-Z]+_IMAGE=|image: )$pattern)(@sha256:[0-9a-f]+)?\$/\\1@${digests[$image]}/" "${files[@]}"
  echo "$image ${digests[$image]}"
done
