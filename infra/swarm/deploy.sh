#!/usr/bin/env bash
# Deploys the platform to the Swarm that this machine manages, or brings it up to date. Idempotent.
#   docker swarm init                                   once; other nodes join it
#   FLASHLOAN_IMAGE=registry/flashloan:1 infra/swarm/deploy.sh      an image that every node can pull
# STACK (flashloan) names it. EXECUTOR_KEY_FILE holds the operator's private key for a real chain; without it the stack
# trades on the bundled devnet with that chain's own key. Variables of the stack file are taken from the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
export STACK=${STACK:-flashloan} FLASHLOAN_IMAGE=${FLASHLOAN_IMAGE:-flashloan/platform}

say() { echo "$*" >&2; }
fail() {
  say "$1"
  exit 1
}

[ "$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')" = "active true" ] ||
  fail "This machine manages no Swarm: run \"docker swarm init\" first, or run this on a manager."

# Volumes stay where they are: the first time, here.
if [ -z "$(docker node ls --filter node.label=flashloan.data=true --quiet)" ]; then
  docker node update --label-add flashloan.data=true "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
  say "this node keeps the data (label flashloan.data=true)"
fi

new_password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
has_secret() { docker secret inspect "$STACK-$1" >/dev/null 2>&1; }
# Reads the value from standard input: a secret is never an argument.
add_secret() { docker secret create --label com.docker.stack.namespace="$STACK" "$STACK-$1" - >/dev/null; }

if ! has_secret postgres-url; then
  password=$(new_password)
  printf '%s' "$password" | add_secret postgres-password
  printf 'postgres://flashloan:%s@postgres:5432/flashloan' "$password" | add_secret postgres-url
fi
if ! has_secret rabbitmq-url; then
  password=$(new_password)
  printf 'default_user = flashloan\ndefault_pass = %s\n' "$password" | add_secret rabbitmq-login
  printf 'amqp://flashloan:%s@rabbitmq:5672' "$password" | add_secret rabbitmq-url
fi
if ! has_secret redis-url; then
  password=$(new_password)
  printf '%s' "$password" | add_secret redis-password
  printf 'requirepass %s\n' "$password" | add_secret redis-conf
  printf 'redis://:%s@redis:6379' "$password" | add_secret redis-url
fi
has_secret grafana-password || new_password | add_secret grafana-password
if ! has_secret executor-key; then
  if [ -n "${EXECUTOR_KEY_FILE:-}" ]; then
    add_secret executor-key <"$EXECUTOR_KEY_FILE"
  else
    docker run --rm --network none "$FLASHLOAN_IMAGE" node --input-type=module \
      -e 'import { DEVNET_OPERATOR_KEY } from "/app/packages/devnet/dist/src/venues.js"; process.stdout.write(DEVNET_OPERATOR_KEY)' |
      add_secret executor-key
  fi
fi
hosts=(checkpoint market-predictor risk-manager hft-executor supervisor quantum-engine)
if ! has_secret "tls-${hosts[-1]}-key"; then
  ! has_secret "tls-${hosts[0]}-key" ||
    fail "The certificates are an older version's, without ${hosts[-1]}: remove the stack and the secrets $STACK-tls-*, then deploy anew."
  # Their authority is forgotten when they are made: to add a host or to renew, remove the secrets tls-* and deploy anew.
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  names=$(IFS=,; echo "${hosts[*]}")
  docker run --rm --network none --user "$(id -u)" --volume "$folder:/out" "$FLASHLOAN_IMAGE" \
    flashloan certificates --out /out --hosts "$names" >&2
  for host in "${hosts[@]}"; do
    for part in ca cert key; do
      has_secret "tls-$host-$part" || add_secret "tls-$host-$part" <"$folder/$host/$part.pem"
    done
  done
fi

CONFIG_HASH=$(cat infra/rabbitmq/* infra/prometheus/*.yml infra/alertmanager/* infra/jaeger/* \
  grafana/provisioning/*/* grafana/dashboards/* | sha256sum | cut -c1-12)
export CONFIG_HASH
docker stack deploy --compose-file infra/swarm/stack.yml --prune "$@" "$STACK"
say "deployed; docker stack services $STACK shows how far it is"
