//! The bandwidth annotations on their way from a Pod to the plugin.

use crate::cluster::Cluster;

fn pod(name: &str, ingress: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: default
  annotations: {{kubernetes.io/ingress-bandwidth: {ingress}, kubernetes.io/egress-bandwidth: 10M}}
spec: {{containers: [{{name: c, image: web, ports: [{{containerPort: 80}}]}}]}}
"
    )
}

#[test]
fn a_limited_pod_is_reached_and_an_impossible_limit_is_told() {
    let test = "a_limited_pod_is_reached_and_an_impossible_limit_is_told";
    let Some(cluster) = Cluster::open(test, "bandwidth", &["--nodes", "1"]) else { return };
    cluster.create(&pod("slow", "1M"));
    cluster.create(&pod("other", "1G"));
    cluster.create(&pod("odd", "'100'"));
    let address = cluster.ready_pod("default", "slow");
    cluster.ready_pod("default", "other");
    cluster.answered("default", "other", &format!("http://{address}/"));
    cluster.wait("an Event tells of the limit that nobody means", || {
        let events = cluster.get("/api/v1/namespaces/default/events")?;
        let is_it = |event: &serde_json::Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["involvedObject"]["name"] == "odd"
                && message.contains("annotation kubernetes.io/ingress-bandwidth: `100` is unreasonably small")
        };
        events["items"].as_array()?.iter().any(is_it).then_some(())
    });
}
