//! Who may do what in a lab: Pods that talk to the API, and our own agents and controller with no more rights than
//! they need.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::cluster::{Cluster, USER_AGENT};

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

fn read(cluster: &Cluster, pod: &str, file: &str) -> String {
    let output = cluster.exec("shop", pod, &["cat", &format!("{TOKEN_DIR}/{file}")]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lists Pods from within a Pod, by the name of the API, with the mounted token and authority.
fn list_pods(cluster: &Cluster, pod: &str) -> Value {
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
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("sealane-skip: {TEST}: curl is not on the PATH");
        return;
    }
    let Some(cluster) = Cluster::open(TEST, "access", &["--nodes", "2"]) else { return };
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
fn our_own_rights_suffice(cluster: &Cluster) {
    cluster.wait("the controller gives the Service an address", || {
        let service = cluster.get("/api/v1/namespaces/shop/services/outside")?;
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned)
    });
    let review = |verb: &str, resource: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:kube-system:sealane-agent",
            "resourceAttributes": {"verb": verb, "resource": resource},
        }})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(cluster.post(path, &review("watch", "pods"))["status"]["allowed"], true);
    assert_eq!(cluster.post(path, &review("patch", "nodes"))["status"]["allowed"], true);
    for (verb, resource) in
        [("update", "nodes"), ("delete", "nodes"), ("patch", "pods"), ("patch", "services")]
    {
        assert_eq!(
            cluster.post(path, &review(verb, resource))["status"]["allowed"],
            false,
            "{verb} {resource}"
        );
    }
    no_refusals(cluster);
}

/// Whoever lacks rights says so in a log.
fn no_refusals(cluster: &Cluster) {
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

/// Only the kubeconfig on the host is the administrator's: the API's log tells who sent each request.
#[test]
fn nothing_in_the_lab_acts_as_the_administrator() {
    let Some(cluster) = Cluster::open(
        "nothing_in_the_lab_acts_as_the_administrator",
        "rights",
        &["--nodes", "2", "--log", "info,sealane_serve_api=debug"],
    ) else {
        return;
    };
    run_everything(&cluster);
    let users = ["node:node-a", "node:node-b", "kube-scheduler", "kube-controller-manager"]
        .map(|name| format!("system:{name}"))
        .into_iter()
        .chain(
            ["agent", "controller"].map(|name| format!("system:serviceaccount:kube-system:sealane-{name}")),
        );
    let expected: BTreeSet<String> = users.collect();
    let text = std::fs::read_to_string(cluster.bed.state_dir().join("lab.log")).unwrap();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| line.contains("path=")) {
        let user =
            line.split("user=").nth(1).and_then(|rest| rest.split(['"', ' ']).find(|part| !part.is_empty()));
        let user = user.unwrap_or_else(|| panic!("a request of nobody: {line}"));
        if line.contains(USER_AGENT) {
            assert_eq!(user, "sealane-admin", "{line}");
        } else {
            seen.insert(user.to_owned());
        }
    }
    assert_eq!(seen, expected);
    refused(&cluster);
    no_refusals(&cluster);
}

/// Work for every component: Pods on both nodes, storage, a Job, and what becomes of them.
fn run_everything(cluster: &Cluster) {
    let container = json!({"name": "c", "image": "nginx", "ports": [{"containerPort": 80}]});
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}});
    let apps = "/apis/apps/v1/namespaces/default/deployments";
    cluster.post(apps, &workload);
    let ports = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": ports});
    cluster.post("/api/v1/namespaces/default/services", &service);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    cluster.post("/api/v1/namespaces/default/persistentvolumeclaims", &claim);
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox",
        "command": ["sh", "-c", "date > /data/now"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": {"spec": pod}}});
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    cluster.post(jobs, &job);
    cluster.ready_pods("default", "web", 3);
    cluster.wait("the Job is done", || {
        let job = cluster.get(&format!("{jobs}/once"))?;
        (job["status"]["succeeded"] == 1).then_some(())
    });
    cluster.delete(&format!("{apps}/web"));
    cluster.ready_pods("default", "web", 0);
}

/// What a kubelet, the scheduler and the controllers must not do.
fn refused(cluster: &Cluster) {
    let may = |user: &str, group: &str, verb: &str, resource: &str, subresource: &str| {
        let asked =
            json!({"verb": verb, "resource": resource, "subresource": subresource, "namespace": "default"});
        let spec = json!({"user": user, "groups": [group], "resourceAttributes": asked});
        let review =
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)["status"]["allowed"]
            == true
    };
    let node = |verb, resource, part| may("system:node:node-a", "system:nodes", verb, resource, part);
    assert!(node("update", "pods", "status") && node("create", "serviceaccounts", "token"));
    assert!(!node("create", "pods", "") && !node("update", "pods", "") && !node("delete", "namespaces", ""));
    assert!(!node("patch", "secrets", "") && !node("create", "pods", "exec"));
    let scheduler = |verb, resource, part| may("system:kube-scheduler", "none", verb, resource, part);
    assert!(scheduler("create", "pods", "binding") && !scheduler("delete", "pods", ""));
    let manager = |verb, resource, part| may("system:kube-controller-manager", "none", verb, resource, part);
    assert!(
        manager("create", "pods", "")
            && !manager("create", "secrets", "")
            && !manager("create", "pods", "exec")
    );
    assert!(!may("system:node:node-a", "none", "get", "pods", ""), "the group has the rights, not the name");
}
