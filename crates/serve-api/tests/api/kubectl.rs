//! Unmodified kubectl, command by command.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use engine_store::{PatchKind, Write};
use serde_json::json;

use crate::world::{World, target};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: example.com/web:1
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
";

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
";

#[test]
fn apply_get_describe_delete() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("apply_get_describe_delete") else { return };
    let created = kubectl.ok_with("apply -f -", DEPLOYMENT);
    assert_eq!(created, "deployment.apps/web created\nservice/web created\n");
    assert_eq!(
        kubectl.ok_with("apply -f -", DEPLOYMENT),
        "deployment.apps/web unchanged\nservice/web unchanged\n"
    );
    let changed = DEPLOYMENT.replace("web:1", "web:2");
    assert!(kubectl.ok_with("apply -f -", &changed).starts_with("deployment.apps/web configured\n"));

    let table = kubectl.ok("get services web");
    assert!(table.starts_with("NAME   TYPE        CLUSTER-IP"), "{table}");
    assert!(table.contains("80/TCP"), "{table}");
    let wide = kubectl.ok("get deploy -o wide");
    assert!(wide.contains("CONTAINERS") && wide.contains("example.com/web:2"), "{wide}");
    assert!(kubectl.ok("get deploy -A").starts_with("NAMESPACE"));
    assert!(kubectl.ok("get deploy,svc -l app=web --show-labels").contains("app=web"));
    assert_eq!(kubectl.ok("get deploy -o name"), "deployment.apps/web\n");
    assert!(kubectl.ok("get svc web -o yaml").contains("\n  clusterIP: 10.96."));
    let replicas = kubectl.ok("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(replicas, "example.com/web:2");
    assert!(kubectl.ok("get deploy web -o json").contains("\"kind\": \"Deployment\""));
    let by_field = kubectl.ok("get svc --field-selector metadata.name!=web -o name");
    assert_eq!(by_field, "service/kubernetes\n");
    assert!(kubectl.ok("get svc --sort-by=.metadata.name --chunk-size=1").contains("kubernetes"));
    assert!(kubectl.run("get deploy none").fails().contains("deployments.apps \"none\" not found"));
    assert!(
        kubectl.run("get bananas").fails().contains("the server doesn't have a resource type \"bananas\"")
    );
    assert!(kubectl.ok("get all").contains("deployment.apps/web"));

    let described = kubectl.ok("describe deployment web");
    assert!(described.contains("Image:") && described.contains("example.com/web:2"), "{described}");
    let described = kubectl.ok("describe service web");
    assert!(described.contains("TargetPort:") && described.contains("8080/TCP"), "{described}");
    assert_eq!(kubectl.ok("delete deploy web"), "deployment.apps \"web\" deleted\n");
    assert_eq!(kubectl.ok("delete svc -l none=such"), "No resources found\n");
    assert!(kubectl.ok("delete svc web").contains("deleted"));
}

#[test]
fn create_patch_replace_diff_edit() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("create_patch_replace_diff_edit") else { return };
    assert_eq!(kubectl.ok_with("create -f -", CONFIG), "configmap/settings created\n");
    assert!(
        kubectl.run_with("create -f -", CONFIG).fails().contains("configmaps \"settings\" already exists")
    );
    let unknown = CONFIG.replace("\ndata:", "\nbananas: 1\ndata:");
    let refused = kubectl.run_with("replace -f -", &unknown).fails();
    assert!(refused.contains("strict decoding error: unknown field \"bananas\""), "{refused}");

    assert_eq!(kubectl.ok("label cm settings tier=back"), "configmap/settings labeled\n");
    assert_eq!(kubectl.ok("annotate cm settings note=x"), "configmap/settings annotated\n");
    let merge = r#"patch cm settings --type=merge -p {"data":{"size":"7"}}"#;
    assert_eq!(kubectl.ok(merge), "configmap/settings patched\n");
    assert_eq!(kubectl.ok(merge), "configmap/settings patched (no change)\n");
    kubectl.ok(r#"patch cm settings --type=json -p [{"op":"remove","path":"/data/size"}]"#);
    kubectl.ok(r#"patch cm settings -p {"data":{"shape":"round"}}"#);
    assert_eq!(kubectl.ok("get cm settings -o jsonpath={.data}"), r#"{"colour":"blue","shape":"round"}"#);
    assert_eq!(kubectl.ok_with("replace -f -", CONFIG), "configmap/settings replaced\n");
    assert_eq!(kubectl.ok("get cm settings -o jsonpath={.data}"), r#"{"colour":"blue"}"#);

    let red = CONFIG.replace("blue", "red");
    let diff = kubectl.run_with("diff -f -", &red);
    assert_eq!(diff.code, Some(1), "{}", diff.err);
    assert!(diff.out.contains("-  colour: blue") && diff.out.contains("+  colour: red"), "{}", diff.out);
    assert_eq!(
        kubectl.ok_with("apply -f - --dry-run=server", &red),
        "configmap/settings configured (server dry run)\n"
    );
    assert_eq!(kubectl.ok("get cm settings -o jsonpath={.data.colour}"), "blue");
    let applied = kubectl.run_with("apply --server-side --force-conflicts -f -", &red).ok();
    assert_eq!(applied, "configmap/settings serverside-applied\n");
    assert_eq!(kubectl.ok("edit cm settings"), "");
    assert!(kubectl.ok_with("replace --force -f -", CONFIG).contains("replaced"));
    kubectl.ok("delete cm settings");
}

#[test]
fn scale_and_wait() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("scale_and_wait") else { return };
    kubectl.ok_with("apply -f -", DEPLOYMENT);
    assert_eq!(kubectl.ok("scale deploy web --replicas=5"), "deployment.apps/web scaled\n");
    assert_eq!(
        kubectl.ok("scale deploy web --current-replicas=5 --replicas=0"),
        "deployment.apps/web scaled\n"
    );
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.spec.replicas}"), "0");
    assert_eq!(
        kubectl.ok("set image deploy/web main=example.com/web:9"),
        "deployment.apps/web image updated\n"
    );

    let waiting = kubectl
        .command("wait --for=condition=Available deploy/web --timeout=20s")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}});
    let part = target("apps", "deployments", Some("web"), Some("status"));
    world.write(&part, Write::Patch(PatchKind::Merge, status));
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&waited.stdout), "deployment.apps/web condition met\n");

    let waiting = kubectl
        .command("wait --for=delete deploy/web --timeout=20s")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kubectl.ok("delete deploy web");
    assert!(waiting.wait_with_output().unwrap().status.success());
}

#[test]
fn get_watch_shows_changes_as_they_come() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("get_watch_shows_changes_as_they_come") else { return };
    kubectl.ok_with("create -f -", CONFIG);
    let mut child = kubectl
        .command("get cm -w --field-selector metadata.name=settings")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with("NAME"));
    assert!(next().starts_with("settings   1"));
    kubectl.ok(r#"patch cm settings -p {"data":{"shape":"round"}}"#);
    assert!(next().starts_with("settings   2"));
    kubectl.ok("delete cm settings");
    assert!(next().starts_with("settings   2"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn pods_logs_and_exec() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("pods_logs_and_exec") else { return };
    world.running_pod("web-1", json!({"app": "web"}));
    world.running_pod("web-2", json!({"app": "web"}));
    let table = kubectl.ok("get pods");
    assert!(table.contains("READY") && table.contains("1/1") && table.contains("Running"), "{table}");
    let wide = kubectl.ok("get pods -o wide -l app=web");
    assert!(wide.contains("10.244.0.7") && wide.contains("node-a"), "{wide}");
    assert!(kubectl.ok("get pods --field-selector status.phase=Running -o name").contains("pod/web-2"));
    assert!(kubectl.ok("describe pod web-1").contains("Node:"));
    assert_eq!(kubectl.ok("wait --for=condition=Ready pod/web-1"), "pod/web-1 condition met\n");

    assert_eq!(kubectl.ok("logs web-1"), "one\ntwo\nthree\n");
    assert_eq!(kubectl.ok("logs web-1 --tail=1 -f"), "three\nfollowed\n");
    assert_eq!(kubectl.ok("logs -l app=web --tail=1 --prefix=false"), "three\nthree\n");
    assert!(kubectl.ok("logs web-1 --timestamps").starts_with("2026-01-01T00:00:00.000000000Z one\n"));
    assert!(kubectl.run("logs web-1 -p").fails().contains("previous terminated container"));
    assert!(
        kubectl.run("logs web-1 -c other").fails().contains("container other is not valid for pod web-1")
    );

    assert_eq!(kubectl.ok("exec web-1 -- echo a b"), "a b\n");
    assert_eq!(kubectl.ok_with("exec -i web-1 -- cat", "typed\n"), "typed\n");
    let large = "x".repeat(1_000_000);
    assert_eq!(kubectl.ok_with("exec -i web-1 -- cat", &large), large);
    assert_eq!(kubectl.ok_with("exec -i web-1 -- count", &large), "1000000\n");
    let failed = kubectl.run("exec web-1 -- false");
    assert_eq!(failed.code, Some(3), "{}", failed.err);
    assert!(failed.err.contains("it failed") && failed.err.contains("exit code 3"), "{}", failed.err);
    let missing = kubectl.run("exec web-1 -- nothing").fails();
    assert!(missing.contains("executable file not found"), "{missing}");
    assert!(kubectl.run("exec web-9 -- echo").fails().contains("pods \"web-9\" not found"));
    assert!(kubectl.ok("delete pod web-1 --wait=false").contains("deleted"));
    assert!(kubectl.ok("get pod web-1").contains("Terminating"), "nobody here ends the pod");
    assert!(kubectl.ok("delete pod web-1 --grace-period=0 --force").contains("deleted"));
    assert_eq!(kubectl.ok("get pods -o name"), "pod/web-2\n");
}

#[test]
fn discovery_explain_and_events() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("discovery_explain_and_events") else { return };
    let resources = kubectl.ok("api-resources");
    assert!(resources.contains("networkpolicies") && resources.contains("endpointslices"), "{resources}");
    assert!(kubectl.ok("api-versions").contains("networking.k8s.io/v1\n"));
    assert!(kubectl.ok("version").contains("+sealane"));
    assert!(kubectl.ok("explain service.spec.ports.targetPort").contains("FIELD: targetPort"));
    assert!(kubectl.ok("explain networkpolicy.spec").contains("podSelector"));
    assert!(kubectl.ok("get namespaces").contains("kube-system"));
    assert!(kubectl.ok("describe namespace default").contains("Status:"));
    kubectl.ok("get events -A");
    kubectl.ok("events");
    assert!(kubectl.ok("get --raw /livez").starts_with("ok"));
    let namespace = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"shop\"}}";
    assert_eq!(kubectl.ok_with("apply -f -", namespace), "namespace/shop created\n");
    assert!(kubectl.run_with("apply -n none -f -", CONFIG).fails().contains("namespaces \"none\" not found"));
}
