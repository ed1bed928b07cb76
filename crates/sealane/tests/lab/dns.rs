//! Cluster DNS as a Deployment, out of the manifests in `deploy`, beside the nodes' own.

use crate::kubectl;

/// The nodes' own cluster DNS.
const NODES: &str = "10.96.0.10";

#[test]
fn the_manifests_serve_cluster_dns_behind_a_service() {
    let test = "the_manifests_serve_cluster_dns_behind_a_service";
    let Some((cluster, kubectl)) = kubectl::open(test, "dns", &["--nodes", "2"]) else { return };
    let manifest = include_str!("../../../../deploy/dns.yaml");
    kubectl.run_with("apply -f -", manifest).says("deployment.apps/sealane-dns created");
    kubectl.all(&[
        ("-n kube-system rollout status deployment/sealane-dns --timeout=60s", "successfully rolled out"),
        ("run asker --image=busybox -- sleep 3600", "created"),
        ("create service clusterip web --tcp=80:80", "created"),
        ("wait pod/asker --for=condition=Ready --timeout=60s", "condition met"),
    ]);
    let get =
        |path: &str, service: &str| kubectl.ok(&format!("get service {service} -o jsonpath={{{path}}}"));
    let (server, web) = (get(".spec.clusterIP", "-n kube-system sealane-dns"), get(".spec.clusterIP", "web"));
    let check = |server: &str, name: &str, address: &str| {
        let line = format!("exec asker -- sealane probe dns {name} --server {server}");
        cluster.wait(&format!("{server} knows {name}"), || {
            let ran = kubectl.run(&line);
            (ran.code == Some(0) && ran.out.contains(address)).then_some(())
        });
    };
    for server in [server.as_str(), NODES] {
        check(server, "web.default.svc.cluster.local", &web);
        check(
            server,
            "sealane-dns.kube-system.svc.cluster.local",
            &get(".spec.clusterIP", "-n kube-system sealane-dns"),
        );
    }
    // Both follow the same Corefile.
    let text = ".:53 { hosts { 192.0.2.7 here.example \n } \n kubernetes cluster.local }";
    kubectl.ok(&format!("create configmap coredns -n kube-system '--from-literal=Corefile={text}'"));
    for server in [server.as_str(), NODES] {
        check(server, "here.example", "192.0.2.7");
    }
}
