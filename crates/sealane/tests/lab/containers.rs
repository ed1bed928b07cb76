//! Containers as a kubelet runs them: restarted or not, watched, ended with grace, taken out of Services first.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::traffic::none_fails_while;

fn program(name: &str, restart_policy: &str, script: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec:
  restartPolicy: {restart_policy}
  containers:
  - name: c
    image: busybox
    command: [sh, -c, '{script}']
"
    )
}

fn status(cluster: &Cluster, pod: &str) -> Value {
    cluster.pod("default", pod)["status"].clone()
}

#[test]
fn containers_restart_as_the_policy_says() {
    let Some(cluster) = Cluster::open("containers_restart_as_the_policy_says", "restarts", &["--nodes", "1"])
    else {
        return;
    };
    cluster.create(&program("crash", "Always", "echo dying; exit 3"));
    cluster.create(&program("never", "Never", "exit 4"));
    cluster.create(&program("done", "OnFailure", "echo well"));
    cluster.create(&program("retry", "OnFailure", "test -e /tmp/again || { touch /tmp/again; exit 5; }"));

    cluster.wait("a container that keeps failing is held back", || {
        let container = &status(&cluster, "crash")["containerStatuses"][0];
        (container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            && container["restartCount"].as_i64() >= Some(1))
        .then_some(())
    });
    let container = &status(&cluster, "crash")["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3, "{container}");
    assert_eq!(container["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(status(&cluster, "crash")["phase"], "Running");
    cluster.wait("restarts go on", || {
        (status(&cluster, "crash")["containerStatuses"][0]["restartCount"].as_i64() >= Some(2)).then_some(())
    });

    for (pod, phase, code, restarts) in
        [("never", "Failed", 4, 0), ("done", "Succeeded", 0, 0), ("retry", "Succeeded", 0, 1)]
    {
        cluster
            .wait(&format!("{pod} is {phase}"), || (status(&cluster, pod)["phase"] == phase).then_some(()));
        let container = &status(&cluster, pod)["containerStatuses"][0];
        assert_eq!(container["state"]["terminated"]["exitCode"], code, "{pod}: {container}");
        assert_eq!(container["restartCount"], restarts, "{pod}: {container}");
    }
    assert_eq!(cluster.log("default", "done"), "well\n");
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    let Some(cluster) =
        Cluster::open("a_failing_liveness_probe_restarts_the_container", "liveness", &["--nodes", "1"])
    else {
        return;
    };
    cluster.create(
        "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - name: c
    image: example.com/web
    ports: [{containerPort: 8080}]
    livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 2}
---
apiVersion: v1
kind: Pod
metadata: {name: program, namespace: default}
spec:
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'touch /tmp/alive; while :; do sleep 1; done']
    livenessProbe: {exec: {command: [test, -e, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1}
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec: {containers: [{name: c, image: example.com/client}]}
",
    );
    let address = cluster.ready_pod("default", "web");
    cluster.ready_pod("default", "client");
    cluster.probe(
        "default",
        "client",
        &["http", "-X", "POST", &format!("http://{address}:8080/healthz?fail")],
    );
    let restarted = |pod: &str| {
        cluster.wait(&format!("{pod} was restarted"), || {
            (status(&cluster, pod)["containerStatuses"][0]["restartCount"] == 1).then_some(())
        });
    };
    restarted("web");
    cluster.answered("default", "client", &format!("http://{address}:8080/healthz"));

    assert_eq!(status(&cluster, "program")["containerStatuses"][0]["ready"], false);
    assert!(cluster.exec("default", "program", &["touch", "/tmp/ready"]).status.success());
    cluster.ready_pod("default", "program");
    assert!(cluster.exec("default", "program", &["rm", "/tmp/alive"]).status.success());
    restarted("program");
    cluster.ready_pod("default", "program");
}

#[test]
fn a_new_image_restarts_the_container() {
    let Some(cluster) = Cluster::open("a_new_image_restarts_the_container", "image", &["--nodes", "1"])
    else {
        return;
    };
    // The patch below names its container whole, so that nothing may be mounted in it.
    cluster.create(
        "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: 'example.com/web:1', ports: [{containerPort: 8080}]}]
",
    );
    let url = format!("http://{}:8080/", cluster.ready_pod("default", "web"));
    assert_eq!(cluster.answered("default", "web", &url).said("image"), "example.com/web:1");
    let patch = json!({"spec": {"containers": [
        {"name": "c", "image": "example.com/web:2", "ports": [{"containerPort": 8080}]},
    ]}});
    cluster.merge("/api/v1/namespaces/default/pods/web", &patch);
    cluster.wait("the container was restarted", || {
        let container = &status(&cluster, "web")["containerStatuses"][0];
        (container["restartCount"] == 1 && container["ready"] == true).then_some(())
    });
    assert_eq!(status(&cluster, "web")["containerStatuses"][0]["image"], "example.com/web:2");
    assert_eq!(cluster.answered("default", "web", &url).said("image"), "example.com/web:2");
}

#[test]
fn programs_end_with_sigterm_and_after_their_grace_with_sigkill() {
    let Some(cluster) = Cluster::open(
        "programs_end_with_sigterm_and_after_their_grace_with_sigkill",
        "grace",
        &["--nodes", "1"],
    ) else {
        return;
    };
    let out = cluster.bed.dir.join("out");
    std::fs::create_dir(&out).unwrap();
    let pod = |name: &str, grace: u32, script: &str| {
        cluster.create(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec:
  terminationGracePeriodSeconds: {grace}
  volumes: [{{name: out, hostPath: {{path: {}}}}}]
  containers:
  - name: c
    image: busybox
    command: [sh, -c, '{script} touch /out/{name}-runs; while :; do sleep 0.05; done']
    volumeMounts: [{{name: out, mountPath: /out}}]
",
            out.display()
        ));
        cluster.ready_pod("default", name);
        crate::bed::wait_until("its signals are set up", || out.join(format!("{name}-runs")).exists());
    };
    pod("polite", 30, "trap \"echo bye > /out/polite; exit 0\" TERM;");
    pod("stubborn", 1, "trap \"\" TERM;");
    let begun = Instant::now();
    for name in ["polite", "stubborn"] {
        cluster.delete(&format!("/api/v1/namespaces/default/pods/{name}"));
    }
    let gone = |name: &str| {
        cluster.wait(&format!("{name} is gone"), || {
            cluster.pod("default", name).is_null().then(|| begun.elapsed())
        })
    };
    let (polite, stubborn) = (gone("polite"), gone("stubborn"));
    assert_eq!(std::fs::read_to_string(out.join("polite")).unwrap(), "bye\n");
    assert!(polite < Duration::from_secs(10), "{polite:?}");
    assert!(stubborn >= Duration::from_secs(1) && stubborn < Duration::from_secs(10), "{stubborn:?}");
}

const ROLLING: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: example.com/web:1, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec: {containers: [{name: c, image: example.com/client}]}
";

/// Pods leave the Service before they end, so a client that opens connections all the time sees no failure.
#[test]
fn no_request_fails_while_pods_are_replaced() {
    let Some(cluster) = Cluster::open("no_request_fails_while_pods_are_replaced", "rolling", &[]) else {
        return;
    };
    cluster.create(ROLLING);
    let before = cluster.ready_pods("default", "web", 2);
    cluster.ready_pod("default", "client");
    cluster.answered("default", "client", "http://web/");
    let seen = none_fails_while(&cluster.bed, ("default", "client"), "http://web/", || {
        let template = json!({"spec": {"template": {"metadata": {"annotations": {"turn": "2"}}}}});
        cluster.merge("/apis/apps/v1/namespaces/default/deployments/web", &template);
        cluster.wait("both Pods were replaced", || {
            let now = cluster.ready_pods("default", "web", 2);
            now.iter().all(|name| !before.contains(name)).then_some(())
        });
    });
    let answering: std::collections::BTreeSet<String> = seen.iter().map(|seen| seen.said("pod")).collect();
    assert!(answering.len() >= 3, "old and new Pods answered: {answering:?}");
}
