//! How Pods of different nodes reach each other: through VXLAN, or by routes.

use serde_json::Value;

use crate::cluster::Cluster;

const WORLD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default}
spec: {nodeName: node-a, containers: [{name: c, image: example.com/a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: default, labels: {app: b}}
spec: {nodeName: node-b, containers: [{name: c, image: example.com/b, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: default}
spec: {nodeName: node-c, containers: [{name: c, image: example.com/c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: default}
spec: {selector: {app: b}, ports: [{port: 80, targetPort: 8080}]}
";

const NEIGHBOURS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: neighbour, namespace: default}
spec: {nodeName: node-b, containers: [{name: c, image: example.com/n, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: closed, namespace: default, labels: {app: closed}}
spec: {nodeName: node-b, containers: [{name: c, image: example.com/x, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: default}
spec: {podSelector: {matchLabels: {app: closed}}, policyTypes: [Ingress]}
";

/// Whether the nodes of a running lab have the VXLAN link, as the networks of their agents' processes show it.
fn has_tunnel(cluster: &Cluster) -> bool {
    let links = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let found: Vec<bool> =
        cluster.agents().iter().map(|(_, pid)| links(*pid).contains("sealane-vx")).collect();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
    found[0]
}

fn check_traffic(cluster: &Cluster) {
    cluster.create(WORLD);
    let addresses = ["a", "b", "c"].map(|pod| (pod, cluster.ready_pod("default", pod)));
    for (from, source) in &addresses {
        for (to, address) in &addresses {
            let seen = cluster.answered("default", from, &format!("http://{address}:8080/"));
            assert_eq!(seen.said("pod"), *to);
            let client = seen.said("client");
            assert_eq!(client.rsplit_once(':').unwrap().0, source, "{from} to {to} keeps its address");
        }
        if *from != "b" {
            let seen = cluster.answered("default", from, "http://b/");
            assert_eq!(seen.said("client").rsplit_once(':').unwrap().0, source, "{from} through the Service");
        }
    }
}

/// What `sealane explain` and `sealane status` say of the way between nodes is what the agents were told.
fn check_told(cluster: &Cluster, hop: &str, peer: &str) {
    let bed = &cluster.bed;
    let text = |arguments: &[&str]| String::from_utf8(bed.run(arguments).stdout).unwrap();
    let explained = text(&["explain", "a", "b:80"]);
    assert!(explained.contains(hop), "{explained}");
    let status = text(&["status"]);
    assert!(status.contains(&format!("2 {peer}")) && status.contains("(1500)"), "{status}");
    let told = |arguments: &[&str]| serde_json::from_str::<Value>(&text(arguments)).unwrap_or_default();
    let one = cluster.wait("the ways to the other nodes are proved", || {
        let node = told(&["status", "--node", "node-a", "-o", "json"])["nodes"][0].clone();
        let peers = node["peers"].as_array()?;
        peers.iter().all(|peer| peer["proved"] == "yes").then_some(node)
    });
    assert_eq!(
        (&one["peers"][0]["name"], &one["peers"][0]["paths"][0]["mode"]),
        (&"node-b".into(), &peer.into())
    );
    assert_eq!((&one["pools"][0]["used"], &one["pools"][0]["size"]), (&1.into(), &254.into()));
    let detail = text(&["status", "--node", "node-a"]);
    assert!(detail.lines().any(|line| line.starts_with(" node-b ") && line.ends_with("yes")), "{detail}");
    let nobody = bed.run(&["status", "--node", "node-x"]);
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("there is no Node node-x; there are node-a, node-b")
    );
    let by_hand = text(&["explain", "a", "kubernetes:443"]);
    assert!(by_hand.contains("[EndpointSlice default/kubernetes endpoints]"), "{by_hand}");
}

#[test]
fn direct_routes_carry_traffic_between_nodes() {
    let Some(cluster) =
        Cluster::open("direct_routes_carry_traffic_between_nodes", "direct", &["--tunnel", "direct"])
    else {
        return;
    };
    check_traffic(&cluster);
    assert!(!has_tunnel(&cluster));
    check_told(&cluster, "by a direct route through 172.31.0.12", "direct");
}

#[test]
fn bridges_carry_traffic_on_nodes_and_between_them() {
    let test = "bridges_carry_traffic_on_nodes_and_between_them";
    let Some(cluster) = Cluster::open(test, "bridges", &["--pod-links", "bridge"]) else { return };
    check_traffic(&cluster);
    let hop = "through VXLAN to 172.31.0.12, Node node-a joins new Pods by its bridge sealane-br";
    check_told(&cluster, hop, "vxlan");
    // A neighbour of each on its own node, through a policy, and through a Service that leads to itself, too.
    cluster.create(NEIGHBOURS);
    let address = cluster.ready_pod("default", "neighbour");
    let closed = cluster.ready_pod("default", "closed");
    assert_eq!(cluster.answered("default", "b", &format!("http://{address}:8080/")).said("pod"), "neighbour");
    assert_eq!(cluster.answered("default", "b", "http://b.default/").said("pod"), "b");
    let text = |arguments: &[&str]| String::from_utf8(cluster.bed.run(arguments).stdout).unwrap();
    let denied = cluster.bed.run(&[
        "lab",
        "exec",
        "b",
        "--",
        "sealane",
        "probe",
        "tcp",
        &format!("{closed}:8080"),
        "--timeout",
        "1000",
    ]);
    assert!(!denied.status.success());
    let explained = text(&["explain", "b", &format!("{address}:8080")]);
    assert!(
        explained.contains("on Node node-b itself, which joins new Pods by its bridge sealane-br"),
        "{explained}"
    );
    let checked = text(&["lab", "check"]);
    assert!(checked.contains("sealane-br: Pods are on it, MTU 65535"), "{checked}");
    assert!(text(&["status"]).contains(" bridge "));
}

#[test]
fn vxlan_carries_traffic_between_nodes() {
    let Some(cluster) = Cluster::open("vxlan_carries_traffic_between_nodes", "vxlan", &[]) else { return };
    check_traffic(&cluster);
    assert!(has_tunnel(&cluster));
    check_told(&cluster, "through VXLAN to 172.31.0.12", "vxlan");
}
