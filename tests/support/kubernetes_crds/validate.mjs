// Reads an array of resources of the Prometheus operator as JSON, and writes for each null, or what is wrong with it. The validators
// are made from the operator's own types.
import { readFileSync } from "node:fs";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { PrometheusRule, ServiceMonitor };
const verdicts = JSON.parse(readFileSync(0, "utf8")).map((resource) => {
  const Kind = kinds[resource.kind];
  if (Kind === undefined || resource.apiVersion !== Kind.apiVersion) return `no kind ${resource.apiVersion} ${resource.kind}`;
  try {
    new Kind(resource).validate();
    return null;
  } catch (error) {
    return String(error.message);
  }
});
process.stdout.write(JSON.stringify(verdicts));
