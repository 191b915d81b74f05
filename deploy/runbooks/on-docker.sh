# The words of the runbooks with docker compose: README.md.

# An operator may make no topic and no right; and a file is one of the directory that you are in, read and written as you.
_unimargin_run() {
    case "$1 ${2:-}" in
        "topics create"|"topics acls") docker compose run --rm -T topics "$@" ;;
        *)
            docker compose run --rm -T --user "$(id -u):$(id -g)" --env "USER=$(id -un)" --env NUMBA_CACHE_DIR=/tmp/numba \
                --volume "$PWD:/here" --workdir /here operator "$@"
            ;;
    esac
}

on() {
    local word=$1
    shift
    case $word in
        states) docker compose ps --all ;;
        load) docker stats --no-stream ;;
        logs) docker compose logs --since "$1" "${@:2}" ;;
        ask) docker compose exec -T prometheus wget -qO- "http://$1:9108$2" ;;
        start) docker compose up -d "$@" ;;
        stop) docker compose stop "$@" ;;
        restart) docker compose restart "$@" ;;
        kill) docker compose kill "$@" ;;
        unimargin) _unimargin_run "$@" ;;
        redis-cli) docker compose exec -T redis look "$@" ;;
        kafka) docker compose exec -T kafka "/opt/kafka/bin/$1" --bootstrap-server kafka:9092 --command-config /etc/kafka/client.properties "${@:2}" ;;
        disk) docker compose exec -T "$1" df -h "/var/lib/$1/data" ;;
        *) echo "no word $word: deploy/runbooks/README.md" >&2; return 2 ;;
    esac
}
