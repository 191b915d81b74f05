# The words of the runbooks with docker compose: README.md.

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
        unimargin) docker compose run --rm -T operator "$@" ;;
        redis-cli) docker compose exec -T redis look "$@" ;;
        kafka) docker compose exec -T kafka "/opt/kafka/bin/$1" --bootstrap-server kafka:9092 --command-config /etc/kafka/client.properties "${@:2}" ;;
        disk) docker compose exec -T "$1" df -h "/var/lib/$1/data" ;;
        *) echo "no word $word: deploy/runbooks/README.md" >&2; return 2 ;;
    esac
}
