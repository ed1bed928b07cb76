//! What is wrong gets the API's own form of error; what cannot be served is told; everything else keeps working.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::cluster::Cluster;
use crate::kubectl;

/// Manifests that are refused, and what kubectl says.
const REFUSED: &[(&str, &str)] = &[
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, datta: {a: b}}",
        "BadRequest|strict decoding error: unknown field \"datta\"",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: '80'}]}}",
        "BadRequest|cannot unmarshal string into Go struct field Service.spec.ports[0].port of type int32",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 70000}]}}",
        "The Service \"x\" is invalid|spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: NodePort, ports: [{port: 80, nodePort: 80}]}}",
        "spec.ports[0].nodePort: Invalid value: 80|30000-32767",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: X_y}, spec: {ports: [{port: 80}]}}",
        "metadata.name: Invalid value: \"X_y\"",
    ),
    (
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, \
          spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/99}}]}]}}",
        "The NetworkPolicy \"x\" is invalid|spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.0/99\"",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, \
          template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: x}]}}}}",
        "spec.template.metadata.labels: Invalid value|`selector` does not match template `labels`",
    ),
    (
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {rules: [{http: {paths: \
          [{path: api, pathType: Prefix, backend: {service: {name: x, port: {number: 80}}}}]}}]}}",
        "spec.rules[0].http.paths[0].path: Invalid value: \"api\": must be an absolute path",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}}",
        "spec.containers: Required value",
    ),
    (
        "{apiVersion: v1, kind: Banana, metadata: {name: x}}",
        "no matches for kind \"Banana\" in version \"v1\"",
    ),
    ("{apiVersion: v1, kind: [", "error parsing"),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}",
        "NotFound|namespaces \"nowhere\" not found",
    ),
];

#[test]
fn a_wrong_manifest_gets_the_error_of_the_api() {
    let Some((_cluster, kubectl)) =
        kubectl::open("a_wrong_manifest_gets_the_error_of_the_api", "refused", &["--nodes", "1"])
    else {
        return;
    };
    for (manifest, expected) in REFUSED {
        // kubectl takes what begins with a brace for JSON.
        kubectl.run_with("apply -f -", &format!("---\n{manifest}")).fails(expected);
    }
    // Past kubectl's own parser.
    let path = "create --raw /api/v1/namespaces/default/configmaps -f -";
    kubectl.run_with(path, "{\"kind\": ").fails("BadRequest");
    kubectl
        .run_with("apply -f -", "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}")
        .says("created");
}

/// One object of each sort that cannot be served, and a Service that can.
const UNSERVABLE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: odd}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: lost, namespace: odd}
spec:
  ingressClassName: nginx
  tls: [{hosts: [lost.example], secretName: nowhere}]
  rules: [{host: lost.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: annotated, namespace: odd, annotations: {nginx.ingress.kubernetes.io/no-such-thing: '1'}}
spec:
  ingressClassName: nginx
  rules: [{host: good.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: good, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: no-port, namespace: odd}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: nothing}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside-pool, namespace: odd}
spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.1, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: odd, labels: {app: web}}
spec: {containers: [{name: c, image: example.com/web, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: odd}
spec: {containers: [{name: c, image: example.com/client}]}
---
apiVersion: v1
kind: Service
metadata: {name: good, namespace: odd}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

/// Object, reason, field of every finding that is expected.
const FINDINGS: &[(&str, &str, &str, &str)] = &[
    ("Ingress", "lost", "ServiceNotFound", "spec.rules[0].http.paths[0].backend"),
    ("Ingress", "lost", "SecretNotFound", "spec.tls[0].secretName"),
    (
        "Ingress",
        "annotated",
        "AnnotationNotHonoured",
        "metadata.annotations[nginx.ingress.kubernetes.io/no-such-thing]",
    ),
    ("Service", "no-port", "TargetPortNotFound", "spec.ports[0].targetPort"),
    ("Service", "outside-pool", "AddressNotInPool", "spec.loadBalancerIP"),
];

fn status(bed: &Bed, kubeconfig: &str) -> (Value, String) {
    let run = |format: &str| {
        let mut command = bed.sealane(&["status", "-o", format]);
        command.env("KUBECONFIG", kubeconfig).output().unwrap()
    };
    let text = String::from_utf8_lossy(&run("text").stdout).into_owned();
    (serde_json::from_slice(&run("json").stdout).unwrap(), text)
}

#[test]
fn what_cannot_be_served_is_told_and_everything_else_works() {
    let Some(cluster) =
        Cluster::open("what_cannot_be_served_is_told_and_everything_else_works", "unservable", &[])
    else {
        return;
    };
    cluster.create(UNSERVABLE);
    cluster.ready_pod("odd", "web-0");
    cluster.ready_pod("odd", "client");

    assert_eq!(cluster.answered("odd", "client", "http://good/").said("pod"), "web-0");
    let entry = ["http", "http://good.example/", "--connect", "172.31.0.11:80"];
    cluster.wait("the Ingress beside the lost one answers", || {
        cluster.probe("odd", "client", &entry).pop().filter(|seen| seen.status == Some(200))
    });
    let lost = ["http", "http://lost.example/", "--connect", "172.31.0.11:80"];
    let seen = cluster.probe("odd", "client", &lost).remove(0);
    assert!(matches!(seen.status, Some(308 | 503)), "{seen:?}");

    for (kind, name, reason, field) in FINDINGS {
        cluster.wait(&format!("an Event tells {reason} of {kind} {name}"), || {
            let events = cluster.get("/api/v1/namespaces/odd/events")?;
            events["items"].as_array()?.iter().find(|event| {
                let object = &event["involvedObject"];
                object["kind"] == *kind
                    && object["name"] == *name
                    && event["reason"] == *reason
                    && event["type"] == "Warning"
                    && event["message"].as_str().unwrap_or_default().contains(field)
            })?;
            Some(())
        });
    }
    let (status, text) = status(&cluster.bed, cluster.info["kubeconfig"].as_str().unwrap());
    let findings = status["findings"].as_array().unwrap();
    for (kind, name, reason, field) in FINDINGS {
        let found = findings.iter().any(|finding| {
            finding["object"]["kind"] == *kind
                && finding["object"]["name"] == *name
                && finding["reason"] == *reason
                && finding["field"] == *field
        });
        assert!(found, "no {reason} of {kind} {name} in {status:#}");
        assert!(text.contains(reason) && text.contains(field), "{text}");
    }
    assert_eq!(findings.len(), FINDINGS.len(), "{status:#}");
    let events = cluster.get("/api/v1/namespaces/odd/events").unwrap();
    let warnings = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == "Warning");
    let about_good = warnings.filter(|event| event["involvedObject"]["name"] == "good").count();
    assert_eq!(about_good, 0, "{events:#}");
}

/// What a Service's condition of ours says, with the time since when.
fn degraded(cluster: &Cluster, name: &str) -> Option<Value> {
    let service = cluster.get(&format!("/api/v1/namespaces/odd/services/{name}"))?;
    let mut conditions = service["status"]["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == "sealane.dev/Degraded").cloned()
}

#[test]
fn a_service_that_cannot_be_served_says_so_until_it_is_mended() {
    let Some(cluster) = Cluster::open(
        "a_service_that_cannot_be_served_says_so_until_it_is_mended",
        "degraded",
        &["--nodes", "1"],
    ) else {
        return;
    };
    cluster.create(UNSERVABLE);
    cluster.ready_pod("odd", "web-0");
    for (_, name, reason, field) in FINDINGS.iter().filter(|(kind, ..)| *kind == "Service") {
        let condition = cluster.wait(&format!("Service {name} tells {reason}"), || {
            degraded(&cluster, name).filter(|condition| condition["reason"] == *reason)
        });
        assert_eq!(condition["status"], "True");
        assert!(condition["message"].as_str().unwrap().starts_with(&format!("{field}: ")), "{condition}");
    }
    assert_eq!(degraded(&cluster, "good"), None);

    let outside = "/api/v1/namespaces/odd/services/outside-pool";
    let of_another = json!({ "status": { "conditions": [
        degraded(&cluster, "outside-pool").unwrap(),
        { "type": "example.com/Checked", "status": "True", "reason": "Checked", "message": "",
          "lastTransitionTime": "2023-11-14T22:13:20Z" },
    ] } });
    cluster.merge(&format!("{outside}/status"), &of_another);
    let before = degraded(&cluster, "outside-pool").unwrap();
    let wish = |address| json!({ "spec": { "loadBalancerIP": address } });
    cluster.merge(outside, &wish(Some("192.0.2.2")));
    let after = cluster.wait("the other address is told", || {
        degraded(&cluster, "outside-pool")
            .filter(|now| now["message"].as_str().unwrap().contains("192.0.2.2"))
    });
    assert_eq!(after["lastTransitionTime"], before["lastTransitionTime"]);

    cluster.merge(outside, &wish(None));
    let no_port = json!({ "spec": { "ports": [{ "port": 80, "targetPort": 8080 }] } });
    cluster.merge("/api/v1/namespaces/odd/services/no-port", &no_port);
    for name in ["outside-pool", "no-port"] {
        cluster.wait(&format!("mended Service {name} says nothing"), || {
            degraded(&cluster, name).is_none().then_some(())
        });
    }
    let conditions = &cluster.get(outside).unwrap()["status"]["conditions"];
    assert_eq!(conditions[0]["type"], "example.com/Checked", "{conditions}");
    assert_eq!(conditions.as_array().unwrap().len(), 1, "{conditions}");
}

/// More Services than the lab has LoadBalancer addresses (172.31.0.200 to 172.31.0.250).
#[test]
fn a_used_up_pool_is_told_and_a_freed_address_is_given() {
    let Some(cluster) =
        Cluster::open("a_used_up_pool_is_told_and_a_freed_address_is_given", "pool", &["--nodes", "1"])
    else {
        return;
    };
    let path = |number: usize| format!("/api/v1/namespaces/default/services/lb-{number}");
    let address = |number: usize| {
        let service = cluster.get(&path(number)).unwrap_or_default();
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned)
    };
    for number in 0..52 {
        cluster.create(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: lb-{number}, namespace: default}}, \
              spec: {{type: LoadBalancer, ports: [{{port: 80}}]}}}}"
        ));
    }
    let without = cluster.wait("51 Services have an address", || {
        let without: Vec<usize> = (0..52).filter(|number| address(*number).is_none()).collect();
        (without.len() == 1).then(|| without[0])
    });
    cluster.wait("an Event tells of the one without", || {
        let events = cluster.get("/api/v1/namespaces/default/events")?;
        let events = events["items"].as_array()?;
        let name = format!("lb-{without}");
        events.iter().any(|event| event["involvedObject"]["name"] == name.as_str()).then_some(())
    });
    let freed = (without + 1) % 52;
    let given = address(freed).unwrap();
    cluster.delete(&path(freed));
    cluster.wait("the freed address is given", || address(without).filter(|now| *now == given));
}
