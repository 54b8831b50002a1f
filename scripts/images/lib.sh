# Sourced by the scripts of this directory.
# shellcheck shell=bash disable=SC2154

# The modes of files go into images.
umask 022

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# inputs SERVICE lists the files that its image is made of, each with its hash; to be called in the root of the repository.
inputs() {
  find apis generated pkg "services/$1" scripts/images -name target -prune -o -name testdata -prune -o -type f ! -name '*_test.go' -print0 | sort -z | xargs -0 sha256sum
}

# find_docker finds a docker command that can use BuildKit: the newest need a plugin for that, which may not be there.
find_docker() {
  local candidate
  while read -r candidate; do
    if "$candidate" buildx version >/dev/null 2>&1 || "$candidate" version --format '{{.Client.Version}}' 2>/dev/null | grep -qE '^(19|20|22)\.'; then
      buildkit=$candidate
      return
    fi
  done < <(type -ap docker)
  die "the Dockerfiles need BuildKit, which $(command -v docker) lacks: install its plugin docker-buildx"
}

build_image() { DOCKER_BUILDKIT=1 "$buildkit" build "$@"; }

# pullable IMAGE: it is here, or can be had.
pullable() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  [ "${OFFLINE:-}" != true ] && timeout 600 docker pull -q "$1" >/dev/null 2>&1
}

# base_image static|jre prints the image to build upon: the default, one that was asked for, or one made of Debian packages.
base_image() {
  local wanted
  case $1 in
  static) wanted=${BASE_STATIC:-gcr.io/distroless/static-debian12:nonroot} ;;
  jre) wanted=${BASE_JRE:-eclipse-temurin:17-jre} ;;
  esac
  if pullable "$wanted"; then
    echo "$wanted"
  else
    "$here/base" "$1"
  fi
}

# finish_image FROM TO SBOM writes the image anew with the times of its files and of itself at SOURCE_DATE_EPOCH, and lists what is in it.
finish_image() {
  local dir
  dir=$(mktemp -d)
  docker save -o "$dir/built.tar" "$1"
  (cd "$root/scripts" && go run ./cmd/image -from "$dir/built.tar" -to "$dir/finished.tar" -name "$2" -sbom "$root/$3")
  docker load -q -i "$dir/finished.tar" >/dev/null
  rm -rf "$dir"
}
