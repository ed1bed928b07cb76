//! With `--data-dir`, the cluster comes back: its objects, its Pods, its traffic.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, can_run};
use crate::cluster::Cluster;

const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: example.com/web:1, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {containers: [{name: c, image: example.com/client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: program, namespace: shop}
spec: {containers: [{name: c, image: busybox, command: [sh, -c, 'while :; do sleep 1; done']}]}
";

/// What must be the same after a restart.
fn identity(cluster: &Cluster) -> Value {
    let uid = |path: &str| cluster.get(path).unwrap_or_default()["metadata"]["uid"].clone();
    let service = cluster.get("/api/v1/namespaces/shop/services/web").unwrap_or_default();
    serde_json::json!([
        uid("/api/v1/namespaces/shop"),
        uid("/api/v1/namespaces/shop/pods/client"),
        uid("/apis/apps/v1/namespaces/shop/deployments/web"),
        service["spec"],
        service["status"],
        cluster.get("/api/v1/namespaces/shop/configmaps/settings").unwrap_or_default()["data"],
    ])
}

/// Waits until everything works.
fn check_works(cluster: &Cluster) {
    let names = cluster.ready_pods("shop", "web", 2);
    cluster.ready_pod("shop", "client");
    cluster.ready_pod("shop", "program");
    let seen = cluster.answered("shop", "client", "http://web/");
    assert!(names.contains(&seen.said("pod")), "{seen:?}");
    let output = cluster.exec("shop", "program", &["sh", "-c", "echo $WEB_SERVICE_HOST"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.wait("the Service has an address for the outside", || {
        let service = cluster.get("/api/v1/namespaces/shop/services/web")?;
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(drop)
    });
}

#[test]
fn with_a_data_directory_the_cluster_comes_back() {
    if !can_run("with_a_data_directory_the_cluster_comes_back") {
        return;
    }
    let bed = Bed::new("data");
    let data = bed.dir.join("data");
    let flags = ["--data-dir", data.to_str().unwrap()];
    let mut cluster = Cluster::up(bed, &flags);
    cluster.create(WORLD);
    check_works(&cluster);
    let before = identity(&cluster);
    for how in [Signal::SIGTERM, Signal::SIGKILL] {
        cluster.again(how, &flags);
        check_works(&cluster);
        assert_eq!(identity(&cluster), before, "after {how}");
    }
}
