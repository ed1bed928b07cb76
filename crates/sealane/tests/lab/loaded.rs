//! `sealane lab services`: what the nodes' kernels have loaded, with the connections that they see.

use serde_json::Value;

use crate::cluster::Cluster;

const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web-1, labels: {app: web}}
spec:
  nodeName: node-a
  containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web-2, labels: {app: web}}
spec:
  nodeName: node-b
  containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: nobody}
spec:
  selector: {app: nobody}
  ports: [{port: 80}]
"#;

/// What a node has loaded for a Service of the Namespace shop.
fn loaded(cluster: &Cluster, node: &str, service: &str) -> Vec<Value> {
    let asked = format!("shop/{service}");
    let output = cluster.bed.run(&["lab", "services", node, "--service", &asked, "--output", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    told[node].as_array().unwrap().clone()
}

fn connections(frontend: &Value) -> u64 {
    let counts = frontend["backends"].as_object().unwrap().values();
    counts.map(|count| count["open"].as_u64().unwrap() + count["ending"].as_u64().unwrap()).sum()
}

#[test]
fn what_nodes_have_loaded_is_shown_with_its_connections() {
    let Some(cluster) =
        Cluster::open("what_nodes_have_loaded_is_shown_with_its_connections", "loaded", &["--nodes", "2"])
    else {
        return;
    };
    cluster.create(SHOP);
    let frontends = cluster.wait("both endpoints are loaded", || {
        let found = loaded(&cluster, "node-a", "web");
        let is_whole =
            |frontend: &Value| frontend["backends"].as_object().is_some_and(|backends| backends.len() == 2);
        (found.len() == 2 && found.iter().all(is_whole)).then_some(found)
    });
    let owners: Vec<&str> = frontends.iter().map(|found| found["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["shop/web:http", "shop/web:http nodePort"], "{frontends:#?}");
    assert!(frontends[1]["frontend"].as_str().unwrap().ends_with(":30080/TCP"));
    assert!(frontends.iter().all(|found| connections(found) == 0), "{frontends:#?}");

    let exec = ["lab", "exec", "-n", "shop", "web-1", "--", "sealane", "probe", "--count", "20"];
    let output = cluster.bed.run(&[&exec[..], &["http", "http://web/"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = loaded(&cluster, "node-a", "web");
    assert_eq!(connections(&after[0]), 20, "connections that are closed are seen for a while: {after:#?}");
    assert_eq!(connections(&after[1]), 0, "{after:#?}");

    let refused = loaded(&cluster, "node-b", "nobody");
    assert_eq!(refused[0]["internal"], "refused", "{refused:#?}");
    let text = cluster.bed.run(&["lab", "services", "node-b", "--service", "nobody"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("refused"), "{text:?}");
    let all = cluster.bed.run(&["lab", "services"]);
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    assert!(all.contains("node-a\n") && all.contains("default/kubernetes:https"), "{all}");
}
