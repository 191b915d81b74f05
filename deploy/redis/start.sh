#!/bin/sh
# Make the ACL file from users.acl beside this and the passwords in SECRETS, then become redis-server with TLS and no plain port.
# SECRETS holds ca.pem, redis.pem, redis.key and a file redis_NAME for each user that is let in; the ACL file goes to RUN.
set -euf
umask 077
here=$(dirname "$0")
secrets=${SECRETS:-/run/secrets}
run=${RUN:-/tmp}

while read -r word name rest; do
    [ "$word" = user ] || continue
    case $rest in
        PASSWORD*)
            file=$secrets/redis_$name
            if [ -s "$file" ]; then
                # by the shell itself: what is an argument of a program everybody sees
                hash=$(printf %s "$(cat "$file")" | sha256sum | cut -d ' ' -f 1)
                rest="on #$hash${rest#PASSWORD}"
            else
                rest="off${rest#PASSWORD}"
            fi
            ;;
    esac
    printf 'user %s %s\n' "$name" "$rest"
done <"$here/users.acl" >"$run/users.acl"

exec redis-server "$here/redis.conf" \
    --aclfile "$run/users.acl" \
    --port 0 --tls-port "${PORT:-6379}" \
    --tls-cert-file "$secrets/redis.pem" --tls-key-file "$secrets/redis.key" --tls-ca-cert-file "$secrets/ca.pem" \
    --tls-auth-clients no --tls-protocols "TLSv1.2 TLSv1.3" "$@"
