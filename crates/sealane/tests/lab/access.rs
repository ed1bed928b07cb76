//! Who may do what in a lab: Pods that talk to the API, and our own agents and controller with no more rights than
//! they need.

use std::process::Command;

use serde_json::Value;

use crate::bed::{Bed, can_run};
use crate::cluster::Cluster;

const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: silent, namespace: shop}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: shop}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
---
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: shop}
spec: {serviceAccountName: reader, containers: [{name: c, image: x, command: [sleep, '600']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: nobody, namespace: shop}
spec: {containers: [{name: c, image: x, command: [sleep, '600']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: silent, namespace: shop}
spec: {serviceAccountName: silent, containers: [{name: c, image: x, command: [sleep, '600']}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: LoadBalancer, selector: {app: none}, ports: [{port: 80}]}
";

fn read(cluster: &Cluster<'_>, pod: &str, file: &str) -> String {
    let output = cluster.exec("shop", pod, &["cat", &format!("{TOKEN_DIR}/{file}")]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lists Pods from within a Pod, by the name of the API, with the mounted token and authority.
fn list_pods(cluster: &Cluster<'_>, pod: &str) -> Value {
    let script = format!(
        "curl -sS --cacert {TOKEN_DIR}/ca.crt -H \"Authorization: Bearer $(cat {TOKEN_DIR}/token)\" \
         https://kubernetes.default.svc:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/shop/pods 2>&1"
    );
    let output = cluster.exec("shop", pod, &["sh", "-c", &script]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn pods_reach_the_api_as_their_service_account() {
    const TEST: &str = "pods_reach_the_api_as_their_service_account";
    if !can_run(TEST) {
        return;
    }
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("sealane-skip: {TEST}: curl is not on the PATH");
        return;
    }
    let bed = Bed::new("access");
    let cluster = Cluster::up(&bed, &["--nodes", "2"]);
    cluster.create(WORLD);
    for pod in ["reader", "nobody", "silent"] {
        cluster.ready_pod("shop", pod);
    }
    assert_eq!(read(&cluster, "reader", "namespace"), "shop");
    assert!(read(&cluster, "reader", "ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(read(&cluster, "silent", "token"), "");

    let list = list_pods(&cluster, "reader");
    assert_eq!(
        (&list["kind"], list["items"].as_array().map(Vec::len)),
        (&"PodList".into(), Some(3)),
        "{list}"
    );
    let refused = list_pods(&cluster, "nobody");
    let text = r#"pods is forbidden: User "system:serviceaccount:shop:default" cannot list resource "pods" in API group "" in the namespace "shop""#;
    assert_eq!((&refused["code"], &refused["message"]), (&403.into(), &text.into()));
    our_own_rights_suffice(&cluster);
}

/// Agents and controller run with the rights of `deploy/rbac.yaml`: what lacks there is a refusal in their logs.
fn our_own_rights_suffice(cluster: &Cluster<'_>) {
    cluster.wait("the controller gives the Service an address", || {
        let service = cluster.get("/api/v1/namespaces/shop/services/outside")?;
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned)
    });
    let review = |verb: &str, resource: &str| {
        serde_json::json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:kube-system:sealane-agent",
            "resourceAttributes": {"verb": verb, "resource": resource},
        }})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(cluster.post(path, &review("watch", "pods"))["status"]["allowed"], true);
    assert_eq!(cluster.post(path, &review("patch", "nodes"))["status"]["allowed"], false);
    let logs: Vec<_> = std::fs::read_dir(cluster.bed.state_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert!(logs.len() >= 3, "{logs:?}");
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap();
        let refused: Vec<&str> =
            text.lines().filter(|line| line.contains("forbidden") || line.contains("Forbidden")).collect();
        assert!(refused.is_empty(), "{}: {refused:#?}", log.display());
    }
}
