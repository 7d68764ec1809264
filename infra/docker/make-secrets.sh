#!/bin/sh
# Makes the passwords of the stack's servers at the first start, each into the volume of those who need it. What is there
# is kept: a server takes its password only when its own volume is new.
set -eu
umask 022

new_password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Written beside and renamed: a start that is cut short leaves the file whole or absent.
write() {
  printf '%s' "$2" > "$1.new"
  mv "$1.new" "$1"
}

cd /secrets
if [ ! -e postgres/url ]; then
  password=$(new_password)
  write postgres/password "$password"
  write postgres/url "postgres://flashloan:$password@postgres:5432/flashloan"
fi
if [ ! -e rabbitmq/url ]; then
  password=$(new_password)
  write rabbitmq/login.conf "default_user = flashloan
default_pass = $password
"
  write rabbitmq/url "amqp://flashloan:$password@rabbitmq:5672"
fi
if [ ! -e redis/url ]; then
  password=$(new_password)
  write redis/password "$password"
  write redis/redis.conf "requirepass $password
"
  write redis/url "redis://:$password@redis:6379"
fi
[ -e grafana/password ] || write grafana/password "$(new_password)"
# Mutual TLS between the services, when it is asked for; certificates are made anew a month before they end.
if [ -n "${GRPC_TLS:-}" ]; then
  flashloan certificates --out /secrets/tls --hosts "$TLS_HOSTS"
  chown -R 1000:1000 /secrets/tls/*
fi
echo "secrets are there"
