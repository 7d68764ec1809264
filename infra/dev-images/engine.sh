#!/usr/bin/env bash
# Gives a Debian 12 machine a Docker engine with BuildKit and Compose v2, from Debian's packages alone. Idempotent.
# Prints what the shell has to take over, since a docker command found earlier in PATH may lack buildx:
#   eval "$(infra/dev-images/engine.sh)" && docker compose version
set -euo pipefail
mirror() { apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -v security | head -1; }

missing=()
for package in docker.io mmdebstrap iptables; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

export PATH=/usr/bin:$PATH
if ! docker info >/dev/null 2>&1; then
  home=${DOCKER_HOME:-/var/tmp/docker-home}
  mkdir -p "$home"
  setsid dockerd --data-root "$home/data" --exec-root "$home/exec" -p "$home/pid" >"$home/log" 2>&1 </dev/null &
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && break
    sleep .5
  done
  docker info >/dev/null 2>&1 || {
    tail -5 "$home/log" >&2
    echo "the Docker engine did not start; see $home/log" >&2
    exit 1
  }
fi

if ! docker compose version >/dev/null 2>&1; then
  # Debian 13's docker-compose is Compose v2 as one static binary: unpacked, not installed.
  work=$(mktemp -d)
  mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie main" >"$work/sources.list"
  options=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq >&2
  (cd "$work" && apt-get "${options[@]}" download -qq docker-compose && dpkg -x docker-compose_*.deb x) >&2
  plugins=/usr/local/lib/docker/cli-plugins
  mkdir -p "$plugins"
  install -m755 "$work"/x/usr/libexec/docker/cli-plugins/docker-compose "$plugins/"
  rm -rf "$work"
fi
echo "engine $(docker version -f '{{.Server.Version}}'), compose $(docker compose version --short)" >&2
echo 'export PATH=/usr/bin:$PATH DOCKER_BUILDKIT=1'
