//! Bodies in the API's protobuf form, which unmodified kubectl sends for `create` and its like.

use engine_store::{Target, Write};
use serde_json::{Value, json};

use crate::world::{World, target};

/// What is created: the command after `kubectl create`, and where the object then is.
const CREATED: &[(&str, &str, &str)] = &[
    ("namespace shop", "", "namespaces/shop"),
    ("configmap settings --from-literal=colour=blue --from-literal=empty=", "", "configmaps/settings"),
    ("configmap files --from-file=DIRECTORY/kubeconfig --from-file=DIRECTORY/bytes", "", "configmaps/files"),
    ("secret generic token --from-literal=user=me --from-file=DIRECTORY/bytes", "", "secrets/token"),
    ("secret tls web --cert=DIRECTORY/tls.crt --key=DIRECTORY/tls.key", "", "secrets/web"),
    (
        "secret docker-registry pull --docker-server=example.com --docker-username=a --docker-password=b",
        "",
        "secrets/pull",
    ),
    ("serviceaccount robot", "", "serviceaccounts/robot"),
    (
        "deployment web --image=example.com/web:1 --image=example.com/side:1 --replicas=3",
        "apps",
        "deployments/web",
    ),
    ("deployment none --image=example.com/web:1 --replicas=0 --port=80", "apps", "deployments/none"),
    ("deployment shell --image=example.com/web:1 -- sh -c true", "apps", "deployments/shell"),
    ("service clusterip web --tcp=80:8080 --tcp=443:https", "", "services/web"),
    ("service clusterip headless --clusterip=None --tcp=80", "", "services/headless"),
    ("service nodeport door --tcp=80:8080 --node-port=30080", "", "services/door"),
    ("service loadbalancer front --tcp=80", "", "services/front"),
    ("service externalname away --external-name=example.com", "", "services/away"),
    (
        "ingress web --class=nginx --rule=a.example/api*=web:80,tls=cert --rule=/x=web:http \
         --default-backend=web:80 --annotation=a=b",
        "networking.k8s.io",
        "ingresses/web",
    ),
    (
        "role reader --verb=get,list --resource=pods,deployments.apps --resource-name=a",
        "rbac.authorization.k8s.io",
        "roles/reader",
    ),
    (
        "clusterrole raw --verb=get --non-resource-url=/healthz",
        "rbac.authorization.k8s.io",
        "clusterroles/raw",
    ),
    ("clusterrole sum --aggregation-rule=a=b,c=d", "rbac.authorization.k8s.io", "clusterroles/sum"),
    (
        "rolebinding readers --role=reader --user=jane --group=g --serviceaccount=default:robot",
        "rbac.authorization.k8s.io",
        "rolebindings/readers",
    ),
    (
        "clusterrolebinding all --clusterrole=raw --user=jane",
        "rbac.authorization.k8s.io",
        "clusterrolebindings/all",
    ),
    ("quota limits --hard=cpu=1500m,memory=1Gi,pods=2 --scopes=BestEffort", "", "resourcequotas/limits"),
    (
        "poddisruptionbudget half --selector=app=web --min-available=50%",
        "policy",
        "poddisruptionbudgets/half",
    ),
    ("poddisruptionbudget one --selector=app=web --max-unavailable=0", "policy", "poddisruptionbudgets/one"),
    (
        "priorityclass low --value=-10 --description=x --preemption-policy=Never",
        "scheduling.k8s.io",
        "priorityclasses/low",
    ),
];

/// Kinds without a namespace among them.
const CLUSTER_SCOPED: &[&str] = &["namespaces", "clusterroles", "clusterrolebindings", "priorityclasses"];

fn target_of(group: &str, path: &str) -> Target {
    let (resource, name) = path.split_once('/').unwrap();
    let mut target = target(group, resource, Some(name), None);
    if CLUSTER_SCOPED.contains(&resource) {
        target.namespace = None;
    }
    target
}

/// The stored object without what every object has of its own.
fn stored(world: &World, group: &str, path: &str) -> Value {
    let mut object = Value::clone(&world.handle.read(&target_of(group, path)).unwrap());
    let metadata = object["metadata"].as_object_mut().unwrap();
    for own in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        metadata.remove(own);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    forget_allocations(&mut object["spec"]);
    object
}

/// What the server chose for a Service.
fn forget_allocations(spec: &mut Value) {
    if spec["clusterIP"].as_str().is_some_and(|address| address.starts_with("10.96.")) {
        spec["clusterIP"] = "chosen".into();
        spec["clusterIPs"] = "chosen".into();
    }
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].as_u64().is_some_and(|port| port != 30_080) {
            port["nodePort"] = "chosen".into();
        }
    }
}

fn write_files(world: &World) {
    let certificate = rcgen::generate_simple_self_signed(["web.example".to_owned()]).unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(world.directory.join(name), content).unwrap();
    write("bytes", &[0, 255, 1, 254]);
    write("tls.crt", certificate.cert.pem().as_bytes());
    write("tls.key", certificate.signing_key.serialize_pem().as_bytes());
}

#[test]
fn created_objects_are_those_that_apply_stores() {
    let (creating, applying) = (World::start(), World::start());
    let Some(create) = creating.kubectl("created_objects_are_those_that_apply_stores") else { return };
    let Some(apply) = applying.kubectl("created_objects_are_those_that_apply_stores") else { return };
    write_files(&creating);
    for (line, group, path) in CREATED {
        let line = format!("create {line}").replace("DIRECTORY", &creating.directory.to_string_lossy());
        create.ok(&line);
        let manifest = create.ok(&line.replacen("create ", "create --dry-run=client -o json ", 1));
        apply.ok_with("apply -f -", &manifest);
        assert_eq!(stored(&creating, group, path), stored(&applying, group, path), "{line}");
    }
}

#[test]
fn reviews_and_tokens() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("reviews_and_tokens") else { return };
    assert_eq!(kubectl.ok("auth can-i create deployments.apps"), "yes\n");
    assert_eq!(kubectl.ok("auth can-i get pods --subresource=log -n kube-system"), "yes\n");
    assert_eq!(kubectl.ok("auth can-i get /metrics"), "yes\n");
    assert_eq!(kubectl.run("auth can-i list pods --as=jane").out, "no\n");
    let all = kubectl.ok("auth can-i --list");
    assert!(all.contains("*.*"), "{all}");
    let who = kubectl.ok("auth whoami");
    assert!(who.contains("Username") && who.contains("system:masters"), "{who}");
    let refused = kubectl.run("create token nobody").fails();
    assert!(refused.contains("serviceaccounts \"nobody\" not found"), "{refused}");
}

#[test]
fn evictions() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("evictions") else { return };
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}});
    world.write(&Target { namespace: None, ..target("", "nodes", None, None) }, Write::Create(node));
    world.running_pod("web-1", json!({"app": "web"}));
    // The grace period of zero is a pointer in a message in a message.
    let drained = kubectl.ok("drain node-a --force --grace-period=0 --timeout=20s");
    assert!(drained.contains("pod/web-1 evicted"), "{drained}");
}

#[test]
fn refusals_are_those_of_other_bodies() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("refusals_are_those_of_other_bodies") else { return };
    let refused = kubectl.run("create deployment Web --image=x").fails();
    assert!(refused.contains("metadata.name: Invalid value: \"Web\""), "{refused}");
    kubectl.ok("create deployment web --image=x");
    let refused = kubectl.run("create deployment web --image=x").fails();
    assert!(refused.contains("deployments.apps \"web\" already exists"), "{refused}");
    let refused = kubectl.run("create sa robot -n none").fails();
    assert!(refused.contains("namespaces \"none\" not found"), "{refused}");
}
