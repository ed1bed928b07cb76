//! Objects for this crate's tests.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use serde_json::{Value, json};

use crate::Controller;
use crate::world::{AnyObject, World, Write};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn mk_namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-ns-{name}")}, "spec": {"finalizers": ["kubernetes"]},
    }))
    .unwrap()
}

pub(crate) fn mk_node(name: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"topology.kubernetes.io/zone": "a"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

/// A ready Pod on node-a with the label `app=web` and the address 10.244.0.9.
pub(crate) fn mk_pod(namespace: &str, name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "creationTimestamp": at(0).to_string(),
        },
        "spec": {"nodeName": "node-a", "containers": [
            {"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]},
        ]},
        "status": {
            "phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(0).to_string()}],
        },
    }))
    .unwrap()
}

pub(crate) fn owned_by(mut pod: Pod, kind: &str, name: &str, uid: &str) -> Pod {
    pod.metadata.owner_references = Some(vec![
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid,
            "controller": true, "blockOwnerDeletion": true,
        }))
        .unwrap(),
    ]);
    pod
}

pub(crate) fn mk_replica_set(namespace: &str, name: &str, replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}},
        },
        "status": {"replicas": 0},
    }))
    .unwrap()
}

pub(crate) fn mk_deployment(namespace: &str, name: &str, replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}},
        },
    }))
    .unwrap()
}

/// A Service `app=web` with port 80 to the container port `http`.
pub(crate) fn mk_service(namespace: &str, name: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-svc-{name}")},
        "spec": {
            "selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
            "ports": [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }))
    .unwrap()
}

/// The API and the kubelets, as far as controllers notice them.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) seconds: i64,
    made: usize,
}

impl Bench {
    /// A world with these Nodes.
    pub(crate) fn new(nodes: &[&str]) -> Self {
        let mut world = World::default();
        nodes.iter().for_each(|name| world.put(mk_node(name)));
        Self { world, seconds: 0, made: 0 }
    }

    pub(crate) fn put(&mut self, object: Value) {
        self.world.put(AnyObject::parse(object).unwrap());
    }

    /// One look of a controller; what it wanted, which is then done.
    pub(crate) fn look(&mut self, controller: Controller) -> Vec<Write> {
        self.seconds += 1;
        let writes = controller(&self.world, at(self.seconds));
        writes.iter().for_each(|write| self.do_one(write));
        writes
    }

    /// Looks until nothing is wanted any more; a look on top of that wants nothing either.
    pub(crate) fn settle(&mut self, controllers: &[Controller]) {
        for _ in 0..60 {
            let wanted: usize = controllers.iter().map(|controller| self.look(*controller).len()).sum();
            if wanted == 0 {
                return;
            }
        }
        panic!("the controllers never come to rest");
    }

    /// The same with Pods that run as soon as they have a Node.
    pub(crate) fn run(&mut self, controllers: &[Controller]) {
        for _ in 0..60 {
            self.settle(controllers);
            if !self.start_pods() {
                return;
            }
        }
        panic!("Pods are replaced without end");
    }

    /// Bound Pods become ready; whether any did.
    pub(crate) fn start_pods(&mut self) -> bool {
        let now = at(self.seconds).to_string();
        let mut any = false;
        for pod in self.world.pods.values_mut() {
            let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            if bound && phase.as_deref() == Some("Pending") {
                let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": now }]);
                let status = json!({ "phase": "Running", "conditions": ready, "podIP": "10.244.0.9" });
                pod.status = serde_json::from_value(status).unwrap();
                any = true;
            }
        }
        any
    }

    /// A Pod's containers have ended.
    pub(crate) fn end_pod(&mut self, name: &str, phase: &str) {
        let now = at(self.seconds).to_string();
        let ended = json!({ "terminated": { "exitCode": 1, "finishedAt": now } });
        let container = json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended });
        let status = json!({ "phase": phase, "containerStatuses": [container] });
        let mut pods = self.world.pods.values_mut();
        let pod = pods.find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap();
        pod.status = serde_json::from_value(status).unwrap();
    }

    /// Names of all Pods, in order.
    pub(crate) fn pod_names(&self) -> Vec<&str> {
        self.world.pods.keys().map(|name| name.name.as_str()).collect()
    }

    pub(crate) fn pod(&self, name: &str) -> Pod {
        let mut pods = self.world.pods.values();
        pods.find(|pod| pod.metadata.name.as_deref() == Some(name)).cloned().unwrap()
    }

    /// Does one write, as the API would.
    pub(crate) fn do_one(&mut self, write: &Write) {
        match write {
            Write::Create(object) => self.create(object.clone()),
            Write::Replace(object) | Write::ReplaceStatus(object) => {
                let object = AnyObject::parse(object.clone()).unwrap();
                let meta = object.metadata();
                let held = meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
                if meta.deletion_timestamp.is_some() && !held {
                    self.world.remove(object);
                } else {
                    self.world.put(object);
                }
            }
            Write::Delete { kind, name, uid, .. } => self.delete(kind, name, uid),
            Write::Patch { kind, name, patch, .. } => {
                let mut object = self.world.object(kind, name).unwrap();
                for (field, value) in patch["metadata"].as_object().unwrap() {
                    object["metadata"][field] = value.clone();
                }
                self.put(object);
            }
            Write::Bind { pod, node, .. } => {
                let pod = self.world.pods.get_mut(pod).unwrap();
                pod.spec.as_mut().unwrap().node_name = Some(node.as_str().to_owned());
            }
            Write::Finalize(_) | Write::Note(_) => {}
        }
    }

    fn create(&mut self, mut object: Value) {
        self.made += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
        object["metadata"]["creationTimestamp"] = json!(at(self.seconds).to_string());
        if object["metadata"]["name"].is_null() {
            let base = object["metadata"]["generateName"].as_str().unwrap().to_owned();
            object["metadata"]["name"] = json!(format!("{base}{}", self.made));
        }
        if object["kind"] == "Pod" {
            object["status"] = json!({ "phase": "Pending" });
        }
        self.put(object);
    }

    fn delete(&mut self, kind: &str, name: &types::NamespacedName, uid: &str) {
        let mut object = self.world.object(kind, name).unwrap();
        assert_eq!(object["metadata"]["uid"], uid, "nothing of the same name is deleted");
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if held {
            object["metadata"]["deletionTimestamp"] = json!(at(self.seconds).to_string());
            self.put(object);
        } else {
            self.world.remove(AnyObject::parse(object).unwrap());
        }
    }
}
