//! Files in containers that change under them, or must not: ConfigMaps, Secrets, tokens.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The Pod comes right behind its Namespace: its account is there already.
const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: shop}
data: {one: first, two: second}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {key: old}
---
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: shop}
spec:
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'cat /kept/one; sleep 3600']
    volumeMounts:
    - {name: page, mountPath: /page}
    - {name: page, mountPath: /kept/one, subPath: one}
    - {name: all, mountPath: /all}
  - name: restarting
    image: busybox
    command: [sh, -c, 'cat TOKEN; echo; sleep 1']
  volumes:
  - {name: page, configMap: {name: page}}
  - name: all
    projected: {sources: [{secret: {name: key}}, {configMap: {name: page, optional: true}}]}
";

fn read(cluster: &Cluster, file: &str) -> String {
    let output = cluster.bed.run(&["lab", "exec", "-n", "shop", "-c", "c", "reader", "--", "cat", file]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn files_of_a_running_container_follow_their_objects() {
    let Some(cluster) =
        Cluster::open("files_of_a_running_container_follow_their_objects", "mounts", &["--nodes", "1"])
    else {
        return;
    };
    cluster.create(&WORLD.replace("TOKEN", TOKEN));
    for (file, wanted) in [("/page/one", "first"), ("/all/key", "old")] {
        cluster.wait(&format!("{file} holds {wanted:?}"), || (read(&cluster, file) == wanted).then_some(()));
    }
    cluster.merge(
        "/api/v1/namespaces/shop/configmaps/page",
        &json!({"data": {"one": "changed", "two": null, "three": "new"}}),
    );
    cluster.merge("/api/v1/namespaces/shop/secrets/key", &json!({"stringData": {"key": "new"}}));
    for (file, wanted) in [
        ("/page/one", "changed"),
        ("/page/two", ""),
        ("/page/three", "new"),
        ("/all/one", "changed"),
        ("/all/key", "new"),
    ] {
        cluster.wait(&format!("{file} holds {wanted:?}"), || (read(&cluster, file) == wanted).then_some(()));
    }
    assert_eq!(read(&cluster, "/kept/one"), "first", "a part of a volume stays as it was");
    one_token(&cluster);
    refused_without_account(&cluster);
}

/// A container that starts again finds the token that the Pod has.
fn one_token(cluster: &Cluster) {
    let before = read(cluster, TOKEN);
    assert_eq!(before.split('.').count(), 3, "{before}");
    cluster.wait("the other container starts again", || {
        let statuses = cluster.pod("shop", "reader")["status"]["containerStatuses"].clone();
        let other = statuses.as_array()?.iter().find(|status| status["name"] == "restarting")?.clone();
        (other["restartCount"].as_i64() >= Some(1)).then_some(())
    });
    let path = "/api/v1/namespaces/shop/pods/reader/log?container=restarting";
    cluster.wait("it shows its token", || (cluster.text(path).trim() == before).then_some(()));
    assert_eq!(read(cluster, TOKEN), before);
}

/// Whoever takes a Namespace's account away gets the API's words, until the controllers have made a new one.
fn refused_without_account(cluster: &Cluster) {
    let accounts = "/api/v1/namespaces/shop/serviceaccounts";
    let first = cluster.get(&format!("{accounts}/default")).unwrap()["metadata"]["uid"].clone();
    cluster.delete(&format!("{accounts}/default"));
    cluster.wait("there is a new account", || {
        let account: Value = cluster.get(&format!("{accounts}/default"))?;
        (account["metadata"]["uid"] != first).then_some(())
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": {
        "serviceAccountName": "nobody", "containers": [{"name": "c", "image": "busybox"}]}});
    let refused = cluster.refused("/api/v1/namespaces/shop/pods", &pod);
    let text = r#"pods "stranger" is forbidden: error looking up service account shop/nobody: serviceaccount "nobody" not found"#;
    assert!(refused.contains(text), "{refused}");
}
