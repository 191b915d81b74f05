# The words of the runbooks with kubectl: README.md. NAMESPACE is where unimargin runs.
_unimargin_place() {
    case $1 in
        worker-*) echo "pod/$1" ;;
        standby) echo "pod/standby-0" ;;
        notify) echo "deployment/notifier" ;;
        *) echo "deployment/$1" ;;
    esac
}

on() {
    local word=$1 namespace=${NAMESPACE:-unimargin} name
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
            if [ "$#" -eq 0 ]; then
                kubectl apply --kustomize "${OVERLAY:-deploy/kubernetes/production}"
            else
                for name; do
                    case $(_unimargin_place "$name") in
                        pod/*) kubectl wait --namespace "$namespace" --for condition=Ready --timeout 120s "$(_unimargin_place "$name")" ;;
                        *) kubectl rollout status --namespace "$namespace" --timeout 120s "$(_unimargin_place "$name")" ;;
                    esac
                done
            fi
            ;;
        stop) kubectl scale --namespace "$namespace" --replicas 0 statefulset/worker statefulset/standby ;;
        restart)
            for name; do
                case $(_unimargin_place "$name") in
                    pod/*) kubectl delete --namespace "$namespace" "$(_unimargin_place "$name")" ;;
                    *) kubectl rollout restart --namespace "$namespace" "$(_unimargin_place "$name")" ;;
                esac
            done
            ;;
        kill)
            for name; do
                kubectl delete --namespace "$namespace" --grace-period 0 --force "$(_unimargin_place "$name")"
            done
            ;;
        unimargin)
            name=$(kubectl get pods --namespace "$namespace" --selector app.kubernetes.io/component=worker --output name | head -n 1)
            kubectl exec --namespace "$namespace" "$name" -- unimargin "$@" --config /etc/unimargin/settings.env
            ;;
        redis-cli) kubectl exec --namespace "${REDIS_NAMESPACE:-redis}" "${REDIS_POD:-redis-0}" -- redis-cli "$@" ;;
        kafka) kubectl exec --namespace "${KAFKA_NAMESPACE:-kafka}" "${KAFKA_POD:-kafka-0}" -- "/opt/kafka/bin/$1" --bootstrap-server localhost:9092 "${@:2}" ;;
        disk) kubectl exec --namespace "${KAFKA_NAMESPACE:-kafka}" "${KAFKA_POD:-kafka-0}" -- df -h ;;
        *) echo "no word $word: deploy/runbooks/README.md" >&2; return 2 ;;
    esac
}
