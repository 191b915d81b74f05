# The words of the runbooks with systemd: README.md. Units are those of deploy/systemd.
_unimargin_unit() {
    case $1 in
        worker-*|standby) echo "unimargin-worker@$1.service" ;;
        api|notify) echo "unimargin-$1.service" ;;
        *) echo "$1.service" ;;
    esac
}

# As you, with the operator's login; an operator may make no topic and no right.
_unimargin_run() (
    role=operator
    case "$1 ${2:-}" in
        "topics create"|"topics acls") role=admin ;;
    esac
    set -a
    . "/etc/unimargin/shared.env"
    exec /opt/unimargin/bin/unimargin "$@" --config "/etc/unimargin/secrets/$role.env"
)

on() {
    local word=$1 name units=()
    shift
    case $word in
        start|stop|restart|kill)
            for name; do units+=("$(_unimargin_unit "$name")"); done
            ;;
        logs)
            for name in "${@:2}"; do units+=(--unit "$(_unimargin_unit "$name")"); done
            ;;
    esac
    case $word in
        states) systemctl list-units --all 'unimargin-*' ;;
        load) systemd-cgtop --iterations 2 --batch ;;
        logs) journalctl --output cat --since "-$1" "${units[@]}" ;;
        ask)
            name=$(grep -hs ^UNIMARGIN_METRICS_PORT= "/etc/unimargin/$1.env" | cut -d = -f 2)
            wget -qO- "http://127.0.0.1:${name:-9108}$2"
            ;;
        start) systemctl start "${units[@]:-unimargin.target}" ;;
        stop) systemctl stop "${units[@]}" ;;
        restart) systemctl restart "${units[@]}" ;;
        kill) systemctl kill --signal SIGKILL "${units[@]}" ;;
        unimargin) _unimargin_run "$@" ;;
        redis-cli)
            SECRETS=${REDIS_SECRETS:-/etc/redis/secrets} PORT=${REDIS_PORT:-6379} REDIS_HOST=${REDIS_HOST:-127.0.0.1} sh deploy/redis/look.sh "$@"
            ;;
        kafka)
            "/opt/kafka/bin/$1" --bootstrap-server "${KAFKA_ADDRESS:-127.0.0.1:9093}" \
                --command-config "${KAFKA_CLIENT:-/etc/kafka/client.properties}" "${@:2}"
            ;;
        disk) df -h "${KAFKA_LOGS:-/var/lib/kafka/data}" ;;
        *) echo "no word $word: deploy/runbooks/README.md" >&2; return 2 ;;
    esac
}
