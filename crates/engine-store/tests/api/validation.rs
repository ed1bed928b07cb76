//! Validation: field paths and texts, unknown fields, wrong types, immutable fields.

use engine_store::{FieldValidation, PatchKind, Write};
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, World, mk_config_map, mk_deployment, mk_pod};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// Checks that creating the object fails with 422 and this text.
#[track_caller]
fn check(path: &str, object: Value, wanted: &str) {
    let status = World::new().post(path, object).unwrap_err();
    assert_eq!((status.code, status.reason), (422, "Invalid"), "{status}");
    assert!(status.message.contains(wanted), "{}", status.message);
    assert!(!status.to_value()["details"]["causes"].as_array().unwrap().is_empty());
}

#[test]
fn services() {
    let service = |spec: Value| json!({"metadata": {"name": "x"}, "spec": spec});
    check(
        SERVICES,
        service(json!({"ports": [{"port": 70000}]})),
        "Service \"x\" is invalid: [spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
    );
    check(SERVICES, service(json!({})), "spec.ports: Required value");
    check(
        SERVICES,
        service(json!({"ports": [{"port": 1}, {"port": 2}]})),
        "spec.ports[0].name: Required value",
    );
    check(
        SERVICES,
        service(json!({"type": "Nope", "ports": [{"port": 1}]})),
        "spec.type: Unsupported value: \"Nope\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
    );
    check(
        SERVICES,
        service(json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 1}]})),
        "may not be set to 'None' for NodePort services",
    );
    check(SERVICES, service(json!({"type": "ExternalName"})), "spec.externalName: Required value");
    check(
        SERVICES,
        json!({"metadata": {"name": "1x"}, "spec": {"ports": [{"port": 1}]}}),
        "metadata.name: Invalid value: \"1x\": a DNS-1035 label must consist of lower case",
    );
}

#[test]
fn pods_and_workloads() {
    check(PODS, json!({"metadata": {"name": "p"}, "spec": {}}), "spec.containers: Required value");
    let mut pod = mk_pod("p");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/x"}]);
    check(PODS, pod, "spec.containers[0].volumeMounts[0].name: Not found: \"v\"");
    let mut pod = mk_pod("p");
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "name": "averylongportname"}]);
    check(
        PODS,
        pod,
        "spec.containers[0].ports[0].name: Invalid value: \"averylongportname\": must be no more than 15",
    );
    let mut deployment = mk_deployment("d");
    deployment["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
    check(
        DEPLOYMENTS,
        deployment,
        "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`",
    );
    let mut deployment = mk_deployment("d");
    deployment["spec"]["replicas"] = json!(-1);
    check(DEPLOYMENTS, deployment, "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
}

#[test]
fn ingresses() {
    let ingress = |path: Value| json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}});
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    check(
        INGRESSES,
        ingress(json!({"path": "/", "backend": backend})),
        "Ingress.networking.k8s.io \"i\" is invalid: spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
    );
    check(
        INGRESSES,
        ingress(json!({"path": "x", "pathType": "Prefix", "backend": backend})),
        "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
    );
    check(
        INGRESSES,
        ingress(json!({"path": "/", "pathType": "Exact", "backend": {"service": {"name": "s"}}})),
        "backend.service.port: Required value: port name or number is required",
    );
}

#[test]
fn network_policies() {
    let policy =
        |rule: Value| json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [rule]}});
    check(
        POLICIES,
        policy(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}]})),
        "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"192.168.0.0/16\": must be a strict subset",
    );
    check(
        POLICIES,
        policy(json!({"ports": [{"port": "http", "endPort": 90}]})),
        "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric",
    );
    check(
        POLICIES,
        policy(json!({"from": [{}]})),
        "spec.ingress[0].from[0]: Required value: must specify a peer",
    );
    let made = World::new().post(POLICIES, policy(json!({"from": [{"podSelector": {}}]}))).unwrap();
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress"]));
    let both = json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "egress": [{}]}});
    assert_eq!(
        World::new().post(POLICIES, both).unwrap()["spec"]["policyTypes"],
        json!(["Ingress", "Egress"])
    );
}

#[test]
fn endpoint_slices() {
    let slice = |address: &str| {
        json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": [address]}],
               "ports": [{"port": 80}]})
    };
    check(
        SLICES,
        slice("127.0.0.1"),
        "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback",
    );
    check(SLICES, slice("fd00::1"), "must be an IPv4 address");
    let mut world = World::new();
    let made = world.post(SLICES, slice("10.0.0.1")).unwrap();
    assert_eq!(made["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    assert_eq!(made["metadata"]["generation"], 1);
    let refused =
        world.patch(&format!("{SLICES}/s"), PatchKind::Merge, json!({"addressType": "FQDN"})).unwrap_err();
    assert!(
        refused.message.contains("addressType: Invalid value: \"FQDN\": field is immutable"),
        "{refused}"
    );
}

#[test]
fn names_and_labels() {
    check(
        CONFIG_MAPS,
        mk_config_map("X", json!({})),
        "metadata.name: Invalid value: \"X\": a lowercase RFC 1123 subdomain",
    );
    let labelled = json!({"metadata": {"name": "a", "labels": {"a b": "c"}}});
    check(CONFIG_MAPS, labelled, "metadata.labels: Invalid value: \"a b\": name part must consist of");
    check("/api/v1/namespaces", json!({"metadata": {"name": "a.b"}}), "a lowercase RFC 1123 label");
}

#[test]
fn unknown_and_duplicate_fields() {
    let mut world = World::new().strict();
    let mut pod = mk_pod("p");
    pod["spec"]["containers"][0]["foo"] = json!(1);
    pod["spec"]["bar"] = json!(1);
    let refused = world.post(PODS, pod.clone()).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            400,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.bar\", \
               unknown field \"spec.containers[0].foo\""
        )
    );
    world.options.field_validation = FieldValidation::Warn;
    world.options.duplicates = vec!["spec.x".to_owned()];
    let written = world.write(PODS, Write::Create(pod)).unwrap();
    assert_eq!(
        written.warnings,
        [
            "unknown field \"spec.bar\"",
            "unknown field \"spec.containers[0].foo\"",
            "duplicate field \"spec.x\""
        ]
    );
    assert!(written.object["spec"].get("bar").is_none());
}

#[test]
fn wrong_types_name_the_field() {
    let mut world = World::new();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": "http"}]}});
    let refused = world.post(SERVICES, service).unwrap_err();
    assert_eq!(refused.code, 400);
    assert!(
        refused.message.contains(
            "cannot unmarshal string into Go struct field Service.spec.ports[0].port of type int32"
        ),
        "{refused}"
    );
    let refused = world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": 1}))).unwrap_err();
    assert_eq!(refused.code, 400);
}

#[test]
fn zero_values_are_left_out() {
    let mut world = World::new();
    let service = json!({"metadata": {"name": "s", "labels": {}, "annotations": null}, "spec": {
        "type": "NodePort", "clusterIP": "", "ports": [{"port": 80, "nodePort": 0, "name": ""}], "externalIPs": []}});
    let made = world.post(SERVICES, service).unwrap();
    assert!(made["spec"]["ports"][0]["nodePort"].as_i64().unwrap() >= 30000);
    assert!(made["spec"]["ports"][0].get("name").is_none() && made["spec"].get("externalIPs").is_none());
    assert!(made["metadata"].get("labels").is_none());
    let mut deployment = mk_deployment("d");
    deployment["spec"]["replicas"] = json!(0);
    assert_eq!(world.post(DEPLOYMENTS, deployment).unwrap()["spec"]["replicas"], 0);
}

#[test]
fn pods_change_little() {
    let mut world = World::new();
    world.post(PODS, mk_pod("p")).unwrap();
    let path = format!("{PODS}/p");
    let image = json!({"spec": {"containers": [{"name": "main", "image": "example.com/main:2"}]}});
    world.patch(&path, PatchKind::StrategicMerge, image).unwrap();
    let refused = world.patch(&path, PatchKind::Merge, json!({"spec": {"hostname": "x"}})).unwrap_err();
    assert!(
        refused.message.contains("spec: Forbidden: pod updates may not change fields other than"),
        "{refused}"
    );
}

#[test]
fn immutable_data_stays() {
    let mut world = World::new();
    let mut object = mk_config_map("a", json!({"k": "v"}));
    object["immutable"] = json!(true);
    world.post(CONFIG_MAPS, object).unwrap();
    let refused =
        world.patch(&format!("{CONFIG_MAPS}/a"), PatchKind::Merge, json!({"data": {"k": "w"}})).unwrap_err();
    assert!(
        refused.message.contains("data: Forbidden: field is immutable when `immutable` is set"),
        "{refused}"
    );
}

#[test]
fn admission_completes_pods_and_ingresses() {
    let mut world = World::new();
    let pod = world.post(PODS, mk_pod("p")).unwrap();
    assert_eq!(
        (pod["spec"]["serviceAccountName"].as_str(), pod["spec"]["serviceAccount"].as_str()),
        (Some("default"), Some("default"))
    );
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(
        (pod["spec"]["priority"].as_i64(), pod["status"]["qosClass"].as_str()),
        (Some(0), Some("BestEffort"))
    );
    let class = json!({"metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "k8s.io/ingress-nginx"}});
    world.post("/apis/networking.k8s.io/v1/ingressclasses", class).unwrap();
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}});
    assert_eq!(world.post(INGRESSES, ingress).unwrap()["spec"]["ingressClassName"], "nginx");
}

#[test]
fn kinds_without_effect_warn() {
    let mut world = World::new();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "10"}}});
    let written = world.write("/api/v1/namespaces/default/resourcequotas", Write::Create(quota)).unwrap();
    assert!(written.warnings[0].contains("not enforced"), "{:?}", written.warnings);
}

#[test]
fn openapi_tells_how_to_patch() {
    let world = World::new();
    assert!(world.store.openapi_root().contains(&"apis/apps/v1".to_owned()));
    let core = world.store.openapi_v3("api/v1").unwrap();
    let patch = &core["paths"]["/api/v1/namespaces/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "", "version": "v1", "kind": "Namespace"})
    );
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    let spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    assert_eq!(spec["properties"]["containers"]["x-kubernetes-patch-merge-key"], "name");
    let pod = &core["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    assert!(world.store.openapi_v3("apis/none/v1").is_none());
}
