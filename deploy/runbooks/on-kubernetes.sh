# The words of the runbooks with kubectl, 1.31 or later: README.md. NAMESPACE is where unimargin runs, OVERLAY what was applied there.
_unimargin_sets='app.kubernetes.io/component in (worker, standby)'

_unimargin_place() {
    case $1 in
        worker-*) echo "pod/$1" ;;
        standby) echo "pod/standby-0" ;;
        notify) echo "deployment/notifier" ;;
        *) echo "deployment/$1" ;;
    esac
}

# In the pod `operator`. A file that is here goes there first, and a backup that was made there comes here.
_unimargin_run() {
    local place=(--namespace "$1" deployment/operator) words=() word made=
    shift
    for word; do
        if [ "${#words[@]}" = 2 ] && [ "${words[*]}" = "backup create" ]; then
            made=$word word=/tmp/backup
        elif [ -f "$word" ]; then
            kubectl exec --stdin "${place[@]}" -- sh -c 'cat >"$0"' "/tmp/${word##*/}" <"$word" || return
            word=/tmp/${word##*/}
        fi
        words+=("$word")
    done
    kubectl exec "${place[@]}" -- unimargin "${words[@]}" --config /etc/unimargin/settings.env || return
    [ -z "$made" ] || kubectl exec "${place[@]}" -- sh -c 'cat /tmp/backup && rm /tmp/backup' >"$made"
}

# An operator may make no topic: the job of a rollout does, anew.
_unimargin_topics() {
    kubectl delete job topics --namespace "$1" --ignore-not-found &&
        kubectl apply --server-side --kustomize "$2" --selector app.kubernetes.io/component=topics &&
        kubectl wait --namespace "$1" --for condition=Complete --timeout 120s job/topics
    kubectl logs --namespace "$1" job/topics
}

on() {
    local word=$1 namespace=${NAMESPACE:-unimargin} overlay=${OVERLAY:-deploy/kubernetes/production} name place
    shift
    case $word in
        states) kubectl get pods --namespace "$namespace" --output wide ;;
        load) kubectl top pods --namespace "$namespace" ;;
        logs)
            for name in "${@:2}"; do
                kubectl logs --namespace "$namespace" --since "$1" "$(_unimargin_place "$name")"
            done
            ;;
        ask) kubectl get --raw "/api/v1/namespaces/$namespace/pods/$1:9108/proxy$2" ;;
        start)
            [ "$#" -gt 0 ] || kubectl apply --server-side --kustomize "$overlay"
            for name; do
                place=$(_unimargin_place "$name")
                case $place in
                    pod/*)
                        # After `on stop` there are no pods to wait for: only the overlay knows how many there were.
                        if [ "$(kubectl get --namespace "$namespace" --output 'jsonpath={.spec.replicas}' statefulset/worker)" = 0 ]; then
                            kubectl apply --server-side --kustomize "$overlay" --selector "$_unimargin_sets"
                        fi
                        kubectl wait --namespace "$namespace" --for create --timeout 120s "$place" &&
                            kubectl wait --namespace "$namespace" --for condition=Ready --timeout 120s "$place"
                        ;;
                    *) kubectl rollout status --namespace "$namespace" --timeout 120s "$place" ;;
                esac
            done
            ;;
        stop)
            kubectl scale --namespace "$namespace" --replicas 0 statefulset/worker statefulset/standby
            kubectl wait --namespace "$namespace" --for delete --timeout 120s pod --selector "$_unimargin_sets"
            ;;
        restart)
            for name; do
                place=$(_unimargin_place "$name")
                case $place in
                    pod/*) kubectl delete --namespace "$namespace" "$place" ;;
                    *) kubectl rollout restart --namespace "$namespace" "$place" ;;
                esac
            done
            ;;
        kill)
            for name; do
                place=$(_unimargin_place "$name")
                case $place in
                    pod/*) kubectl delete --namespace "$namespace" --grace-period 0 --force "$place" ;;
                    *) kubectl delete --namespace "$namespace" --grace-period 0 --force pod --selector "app.kubernetes.io/component=${place#*/}" ;;
                esac
            done
            ;;
        unimargin)
            case "$1 ${2:-}" in
                "topics create") _unimargin_topics "$namespace" "$overlay" ;;
                *) _unimargin_run "$namespace" "$@" ;;
            esac
            ;;
        redis-cli)
            kubectl exec --stdin --namespace "${REDIS_NAMESPACE:-redis}" "${REDIS_POD:-redis-0}" -- \
                env "SECRETS=${REDIS_SECRETS:-/run/secrets}" "PORT=${REDIS_PORT:-6379}" "REDIS_HOST=${REDIS_HOST:-127.0.0.1}" sh -s -- "$@" <deploy/redis/look.sh
            ;;
        kafka)
            kubectl exec --namespace "${KAFKA_NAMESPACE:-kafka}" "${KAFKA_POD:-kafka-0}" -- \
                "/opt/kafka/bin/$1" --bootstrap-server "${KAFKA_ADDRESS:-localhost:9093}" \
                --command-config "${KAFKA_CLIENT:-/etc/kafka/client.properties}" "${@:2}"
            ;;
        disk) kubectl exec --namespace "${KAFKA_NAMESPACE:-kafka}" "${KAFKA_POD:-kafka-0}" -- df -h ;;
        *) echo "no word $word: deploy/runbooks/README.md" >&2; return 2 ;;
    esac
}
