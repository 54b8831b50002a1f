# Sourced by the scripts that build images.
# shellcheck shell=bash disable=SC2154

# File modes are part of the images.
umask 022

die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# inputs SERVICE prints the input files of an image with their hashes. Run it in the root directory of the repository.
inputs() {
  find apis generated pkg "services/$1" scripts/images -name target -prune -o -name testdata -prune -o -type f ! -name '*_test.go' -print0 | sort -z | xargs -0 sha256sum
}

# find_docker sets buildkit to a docker command with BuildKit. Since version 23 it requires the plugin buildx.
find_docker() {
  local candidate
  while read -r candidate; do
    if "$candidate" buildx version >/dev/null 2>&1 || "$candidate" version --format '{{.Client.Version}}' 2>/dev/null | grep -qE '^(19|20|22)\.'; then
      buildkit=$candidate
      return
    fi
  done < <(type -ap docker)
  die "$(command -v docker) has no BuildKit, which the Dockerfiles require; install the plugin docker-buildx"
}

build_image() { DOCKER_BUILDKIT=1 "$buildkit" build "$@"; }

# pullable IMAGE succeeds if the image exists locally or can be pulled.
pullable() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  [ "${OFFLINE:-}" != true ] && timeout 600 docker pull -q "$1" >/dev/null 2>&1
}

# base_image static|jre|gluster prints the base image: BASE_STATIC, BASE_JRE or BASE_GLUSTER, the default, or a local build from Debian packages.
base_image() {
  local image
  case $1 in
  static) image=${BASE_STATIC:-gcr.io/distroless/static-debian12:nonroot} ;;
  jre) image=${BASE_JRE:-eclipse-temurin:17-jre} ;;
  # There is no image with a current GlusterFS client to pull by default.
  gluster) image=${BASE_GLUSTER:-} ;;
  esac
  if [ -n "$image" ] && pullable "$image"; then
    echo "$image"
  else
    "$here/base" "$1"
  fi
}

# finish_image FROM TO SBOM rewrites an image with all times set to SOURCE_DATE_EPOCH and writes its SBOM.
finish_image() {
  local dir
  dir=$(mktemp -d)
  docker save -o "$dir/built.tar" "$1"
  (cd "$root/scripts" && go run ./cmd/image -from "$dir/built.tar" -to "$dir/finished.tar" -name "$2" -sbom "$root/$3")
  docker load -q -i "$dir/finished.tar" >/dev/null
  rm -rf "$dir"
}
