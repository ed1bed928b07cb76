//! Cluster DNS follows CoreDNS's configuration as it changes, and says what it cannot take.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: corefile}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: corefile}
spec: {containers: [{name: main, image: client}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: corefile}
spec: {ports: [{port: 80}]}
";

const COREFILE: &str = ".:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa
    rewrite name shop.example web.corefile.svc.cluster.local
    import custom/*.override
    dns64
}
";

#[test]
fn dns_follows_the_corefile_of_the_cluster() {
    let test = "dns_follows_the_corefile_of_the_cluster";
    let Some(cluster) = Cluster::open(test, "corefile", &["--nodes", "1"]) else { return };
    cluster.create(OBJECTS);
    cluster.ready_pod("corefile", "client");
    let service = cluster.get("/api/v1/namespaces/corefile/services/web").unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let asked = |name: &str| {
        let exec = ["lab", "exec", "-n", "corefile", "client", "--", "sealane", "probe", "dns", name];
        let output = cluster.bed.run(&exec);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let answers = |name: &str, text: &str| {
        cluster.wait(&format!("{name} is {text}"), || asked(name).contains(text).then_some(()));
    };
    answers("web.corefile.svc.cluster.local", &address);
    assert!(!asked("shop.example").contains(&address));

    let maps = "/api/v1/namespaces/kube-system/configmaps";
    let map = |name: &str, data: Value| json!({"metadata": {"name": name}, "data": data});
    cluster.post(maps, &map("coredns", json!({"Corefile": COREFILE})));
    answers("shop.example", &address);
    // What is imported from the other ConfigMap counts as well, and so does its change.
    let hosts = |address: &str| json!({"hosts.override": format!("hosts {{\n {address} printer.example\n fallthrough\n}}\n")});
    cluster.post(maps, &map("coredns-custom", hosts("192.0.2.7")));
    answers("printer.example", "192.0.2.7");
    cluster.merge(&format!("{maps}/coredns-custom"), &json!({"data": hosts("192.0.2.8")}));
    answers("printer.example", "192.0.2.8");

    let status = cluster.bed.run(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("line 5 `dns64`: not taken"), "{status}");
    let query = cluster.bed.run(&["dns", "query", "shop.example"]);
    let query = String::from_utf8_lossy(&query.stdout).into_owned();
    assert!(query.contains("rewritten to web.corefile.svc.cluster.local A [Corefile:3]"), "{query}");
    assert!(query.contains(&address), "{query}");

    let questions = cluster.bed.state_dir().with_extension("questions");
    std::fs::write(&questions, "shop.example\nnothing.corefile.svc.cluster.local A # not there\n").unwrap();
    let query = ["dns", "query", "--file", questions.to_str().unwrap(), "--output", "json"];
    let query = cluster.bed.run(&query);
    std::fs::remove_file(&questions).unwrap();
    assert_eq!(query.status.code(), Some(1), "one has no answer: {query:?}");
    let rows: Value = serde_json::from_slice(&query.stdout).unwrap();
    let answered = rows.as_array().unwrap().iter().map(|row| row["isAnswered"].as_bool().unwrap());
    assert_eq!(answered.collect::<Vec<_>>(), [true, false], "{rows}");

    cluster.delete(&format!("{maps}/coredns"));
    cluster.wait("the Corefile is gone", || (!asked("shop.example").contains(&address)).then_some(()));
    answers("web.corefile.svc.cluster.local", &address);
}

const ZONED: &str = "
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec: {nodeName: node-a, containers: [{name: main, image: client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-a, namespace: default, labels: {app: db}}
spec: {nodeName: node-a, containers: [{name: main, image: db}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-b, namespace: default, labels: {app: db}}
spec: {nodeName: node-b, containers: [{name: main, image: db}]}
";

/// The nodes of a lab are in zones, and so are the endpoints on them.
#[test]
fn a_pod_asks_for_the_endpoints_of_one_zone() {
    let test = "a_pod_asks_for_the_endpoints_of_one_zone";
    let Some(cluster) = Cluster::open(test, "zonal", &["--nodes", "2"]) else { return };
    let corefile = ". {\n kubernetes cluster.local {\n zonal\n }\n}\n";
    let map = json!({"metadata": {"name": "coredns"}, "data": {"Corefile": corefile}});
    cluster.post("/api/v1/namespaces/kube-system/configmaps", &map);
    cluster.create(ZONED);
    let [_, in_a, in_b] = ["client", "db-a", "db-b"].map(|name| cluster.ready_pod("default", name));
    let asked = |name: &str| {
        let name = format!("{name}.db.default.svc.cluster.local");
        let output = cluster.bed.run(&["lab", "exec", "client", "--", "sealane", "probe", "dns", &name]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for (name, expected) in [
        ("a.pin._zone", vec![&in_a]),
        ("b.pin._zone", vec![&in_b]),
        ("b.prefer._zone", vec![&in_b]),
        ("c.prefer._zone", vec![&in_a, &in_b]),
    ] {
        cluster.wait(&format!("{name} has {expected:?}"), || {
            let said = asked(name);
            [&in_a, &in_b]
                .iter()
                .all(|ip| said.contains(&format!(" A {ip}")) == expected.contains(ip))
                .then_some(())
        });
    }
    assert!(asked("c.pin._zone").contains("has no record of this type"), "{}", asked("c.pin._zone"));
    let query = cluster.bed.run(&["dns", "query", "c.pin._zone.db", "--from", "default/client"]);
    let query = String::from_utf8_lossy(&query.stdout).into_owned();
    assert!(query.contains("is in zone c; there are some in a, b"), "{query}");
}
