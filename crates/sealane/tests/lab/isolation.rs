//! A Pod is isolated before its first process starts: not one packet gets out that a policy forbids.

use serde_json::Value;

use crate::cluster::Cluster;

/// Pods that try, on each of two nodes.
const TRIES: usize = 4;

const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: open}
---
apiVersion: v1
kind: Namespace
metadata: {name: closed}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: no-egress, namespace: closed}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: v1
kind: Pod
metadata: {name: receiver, namespace: open}
spec: {nodeName: node-a, containers: [{name: c, image: busybox, command: [sh, -c, 'while :; do sleep 1; done']}]}
";

/// A Pod whose first process sends datagrams and connection attempts at once.
fn eager(namespace: &str, name: &str, node: &str, target: &str) -> String {
    let tries = format!(
        "sealane probe udp {target}:9999 --timeout 20 --count 5; sealane probe tcp {target}:9998 --timeout 50; echo tried"
    );
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  nodeName: {node}
  restartPolicy: Never
  containers: [{{name: c, image: busybox, command: [sh, -c, '{tries}']}}]
"
    )
}

/// IPv4 packets that a Pod has received (proc_pid_net(5), `snmp`: `Ip: InReceives`).
fn received(cluster: &Cluster) -> u64 {
    let output = cluster.exec("open", "receiver", &["cat", "/proc/net/snmp"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split_whitespace().position(|name| name == "InReceives").unwrap();
    values.split_whitespace().nth(at).unwrap().parse().unwrap()
}

/// Runs eager Pods to their end.
fn try_from(cluster: &Cluster, namespace: &str, target: &str) {
    let nodes = ["node-a", "node-b"];
    let pods: Vec<(String, &str)> =
        (0..TRIES).flat_map(|number| nodes.map(|node| (format!("eager-{node}-{number}"), node))).collect();
    for (name, node) in &pods {
        cluster.create(&eager(namespace, name, node, target));
    }
    for (name, _) in &pods {
        cluster.wait(&format!("{name} has tried"), || {
            let pod: Value = cluster.pod(namespace, name);
            (pod["status"]["phase"] == "Succeeded").then_some(())
        });
        let log = cluster.log(namespace, name);
        assert!(log.contains("tried"), "{log}");
    }
}

#[test]
fn no_packet_of_an_isolated_pod_gets_out_from_its_first_moment_on() {
    let Some(cluster) =
        Cluster::open("no_packet_of_an_isolated_pod_gets_out_from_its_first_moment_on", "isolation", &[])
    else {
        return;
    };
    cluster.create(WORLD);
    let receiver = cluster.ready_pod("open", "receiver");
    let start = received(&cluster);
    try_from(&cluster, "closed", &receiver);
    assert_eq!(received(&cluster), start, "packets got out of isolated Pods");
    // The same without a policy: the way is open, and the counter counts.
    try_from(&cluster, "open", &receiver);
    let arrived = received(&cluster) - start;
    assert!(arrived >= 2 * u64::try_from(TRIES).unwrap() * 6, "only {arrived} packets arrived");
}
