#!/bin/sh
# redis-cli as the user that sees the server and no key: docker compose exec redis look INFO memory
secrets=${SECRETS:-/run/secrets}
REDISCLI_AUTH=$(cat "$secrets/redis_prometheus")
export REDISCLI_AUTH
exec redis-cli -h "${REDIS_HOST:-127.0.0.1}" -p "${PORT:-6379}" --tls --cacert "$secrets/ca.pem" --user prometheus "$@"
