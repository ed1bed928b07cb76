//! Proxied requests: to a Pod, to a Service's Pods, to a Node; what is passed on and what is rewritten.

use std::time::Duration;

use engine_store::{PatchKind, Write};
use http::Request;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http_surface::Http;
use crate::world::{World, target};

/// A Service with one ready Pod behind its port.
fn with_service(world: &World) {
    world.running_pod("web", json!({"app": "web"}));
    let service = json!({"metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    world.write(&target("", "services", None, None), Write::Create(service.clone()));
    let mut idle = service;
    idle["metadata"]["name"] = "idle".into();
    world.write(&target("", "services", None, None), Write::Create(idle));
    let slice = json!({"metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["10.244.0.7"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"}}]});
    world.write(&target("discovery.k8s.io", "endpointslices", None, None), Write::Create(slice));
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

#[test]
fn requests_are_passed_on() {
    let world = World::start();
    with_service(&world);
    let http = Http::new(&world);
    for path in [
        format!("{PODS}/web:8080/proxy/a%2Fb//c?x=1&x=2"),
        format!("{PODS}/http:web:8080/proxy/a%2Fb//c?x=1&x=2"),
        format!("{SERVICES}/web:80/proxy/a%2Fb//c?x=1&x=2"),
        format!("{SERVICES}/http:web:http/proxy/a%2Fb//c?x=1&x=2"),
    ] {
        let answer = http.get_with(
            &path,
            &[("x-mine", "1"), ("authorization", "Bearer mine"), ("x-forwarded-for", "192.0.2.9")],
        );
        assert_eq!((answer.code, answer.headers["x-kept"].to_str().unwrap()), (418, "yes"), "{path}");
        let seen = answer.text.to_lowercase();
        assert!(seen.starts_with("get /a%2fb//c?x=1&x=2 http/1.1\r\n"), "{path}: {seen}");
        assert!(seen.contains("x-mine: 1") && seen.contains("x-forwarded-uri: /api/v1/"), "{seen}");
        assert!(seen.contains("x-forwarded-for: 192.0.2.9, 127.0.0.1\r\n"), "{seen}");
        assert!(!seen.contains("authorization"), "who the client is stays here: {seen}");
    }
    let request = Request::put(format!("{PODS}/web:8080/proxy/")).body(Body::from(b"text".to_vec())).unwrap();
    assert!(http.send(request).text.starts_with("PUT / HTTP/1.1"));
}

/// The scheme of the destination is part of the name; its certificate is not checked, as upstream's is not.
#[test]
fn https_destinations_are_spoken_to_in_tls() {
    let world = World::start();
    with_service(&world);
    let secure = json!({"spec": {"ports": [{"name": "tls", "port": 443, "targetPort": 8443}]}});
    world.write(&target("", "services", Some("web"), None), Write::Patch(PatchKind::Merge, secure));
    let slice = json!({"ports": [{"name": "tls", "port": 8443}]});
    let slices = target("discovery.k8s.io", "endpointslices", Some("web-1"), None);
    world.write(&slices, Write::Patch(PatchKind::Merge, slice));
    let http = Http::new(&world);
    for path in [format!("{PODS}/https:web:8443/proxy/x"), format!("{SERVICES}/https:web:tls/proxy/x")] {
        let answer = http.get(&path);
        assert_eq!(answer.code, 418, "{path}: {}", answer.text);
        assert!(answer.text.starts_with("GET /x HTTP/1.1\r\n"), "{path}: {}", answer.text);
    }
    let plain = http.get(&format!("{PODS}/web:8443/proxy/x"));
    assert_eq!(plain.code, 503, "{}", plain.text);
}

#[test]
fn addresses_in_answers_lead_back() {
    let world = World::start();
    with_service(&world);
    let http = Http::new(&world);
    let base = format!("{SERVICES}/web:80/proxy");
    let bare = http.get(&format!("{base}?a=1"));
    assert_eq!((bare.code, bare.headers["location"].to_str().unwrap()), (301, &*format!("{base}/?a=1")));
    let moved = http.get(&format!("{base}/moved"));
    assert_eq!(
        (moved.code, moved.headers["location"].to_str().unwrap()),
        (302, &*format!("{base}/there?a=1"))
    );
    let page = http.get(&format!("{base}/page"));
    assert_eq!(page.text, format!("<a href=\"{base}/there\">there</a>"));
}

#[test]
fn what_cannot_be_reached_is_told_in_the_apis_words() {
    let world = World::start();
    with_service(&world);
    world.write(
        &target("", "pods", None, None),
        Write::Create(
            json!({"metadata": {"name": "waiting"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}),
        ),
    );
    let http = Http::new(&world);
    let says = |path: String, code, reason, text: &str| {
        let status = http.get(&path).is_status(code, reason);
        assert_eq!(status["message"], text, "{path}");
    };
    let gone = "ServiceUnavailable";
    says(format!("{SERVICES}/idle:80/proxy/"), 503, gone, "no endpoints available for service \"idle\"");
    says(format!("{SERVICES}/web:81/proxy/"), 503, gone, "no service port 81 found for service \"web\"");
    says(format!("{SERVICES}/web:x/proxy/"), 503, gone, "no endpoints available for service \"web:x\"");
    says(format!("{SERVICES}/none:80/proxy/"), 404, "NotFound", "services \"none\" not found");
    says(format!("{PODS}/none/proxy/"), 404, "NotFound", "pods \"none\" not found");
    says(format!("{PODS}/waiting/proxy/"), 400, "BadRequest", "address not allowed");
    says(
        format!("{SERVICES}/ftp:web:80/proxy/"),
        400,
        "BadRequest",
        "invalid service request \"ftp:web:80\"",
    );
    let refused = "error trying to reach service: dial tcp 10.244.0.7:9: connection refused";
    says(format!("{PODS}/web:9/proxy/"), 503, gone, refused);
    let node = json!({"metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.31.0.11"}]}});
    let nodes = |name| engine_store::Target { namespace: None, ..target("", "nodes", name, None) };
    world.write(&nodes(None), Write::Create(node));
    let kubelet = "error trying to reach service: dial tcp 172.31.0.11:10250: connection refused";
    says("/api/v1/nodes/node-a/proxy/metrics".to_owned(), 503, gone, kubelet);
    assert!(http.get("/api/v1/nodes/node-a:8080/proxy/metrics").text.starts_with("GET /metrics"));
    // An address that leads to the server itself.
    let status = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    world.write(&target("", "pods", Some("web"), Some("status")), Write::Patch(PatchKind::Merge, status));
    says(format!("{PODS}/web:8080/proxy/"), 400, "BadRequest", "address not allowed");
}

#[test]
fn a_switch_of_protocols_passes_through() {
    let world = World::start();
    with_service(&world);
    world.tokio.block_on(async {
        let request = Request::get(format!("{SERVICES}/web:80/proxy/talk"))
            .header("connection", "Upgrade")
            .header("upgrade", "echo")
            .body(Body::empty())
            .unwrap();
        let answer = crate::kube_rs::client(&world).await.send(request).await.unwrap();
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["upgrade"], "echo");
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        stream.write_all(b"through and back").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
        assert_eq!(text, "through and back");
    });
}

#[test]
fn kubectl_reaches_pods_and_services() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("kubectl_reaches_pods_and_services") else { return };
    with_service(&world);
    assert!(
        kubectl
            .ok("get --raw /api/v1/namespaces/default/services/web:80/proxy/page")
            .contains("/proxy/there")
    );
    let said = kubectl.run("get --raw /api/v1/namespaces/default/services/idle:80/proxy/").fails();
    assert!(said.contains("no endpoints available for service"), "{said}");
    let documented = kubectl.ok("get --raw /api/v1");
    for part in ["pods/proxy", "services/proxy", "nodes/proxy"] {
        assert!(documented.contains(part), "{part}");
    }
}
