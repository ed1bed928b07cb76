//! A running lab as its user sees it: objects through the API, commands and probes in Pods.

use std::path::PathBuf;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::bed::{Bed, PATIENCE, can_run, signal};

/// Pause between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// What this client calls itself.
pub(crate) const USER_AGENT: &str = "sealane-lab-test";

/// A lab in the foreground with a client; ends with this value.
pub(crate) struct Cluster {
    pub(crate) bed: Bed,
    pub(crate) info: Value,
    child: Child,
    runtime: Runtime,
    client: watch::Client,
}

/// What one probe saw.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    pub(crate) ok: bool,
    pub(crate) status: Option<u16>,
    pub(crate) body: String,
    pub(crate) error: Option<String>,
}

impl Seen {
    /// A field of what a stand-in says of itself and its client.
    pub(crate) fn said(&self, field: &str) -> String {
        let answer: Value = serde_json::from_str(&self.body).unwrap_or_default();
        answer[field].as_str().unwrap_or_default().to_owned()
    }
}

impl Cluster {
    /// A lab for a test, in a directory of this name; says so in the output where the test cannot run.
    pub(crate) fn open(test: &str, name: &str, flags: &[&str]) -> Option<Self> {
        can_run(test).then(|| Self::up(Bed::new(name), flags))
    }

    pub(crate) fn up(bed: Bed, flags: &[&str]) -> Self {
        let (child, info) = bed.up_with(flags);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = connect(&runtime, &info);
        Self { bed, info, child, runtime, client }
    }

    /// Ends the lab with a signal, and starts one in its place.
    pub(crate) fn again(&mut self, how: Signal, flags: &[&str]) {
        signal(&self.child, how);
        self.child.wait().unwrap();
        (self.child, self.info) = self.bed.up_with(flags);
        self.client = connect(&self.runtime, &self.info);
    }

    /// Ends the lab, and keeps the directory.
    pub(crate) fn end(&mut self) {
        signal(&self.child, Signal::SIGTERM);
        self.child.wait().unwrap();
    }

    /// Creates the objects of a manifest.
    pub(crate) fn create(&self, manifest: &str) {
        let writer = apply_kube::Writer::new(self.client.clone());
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
        for object in objects {
            self.runtime.block_on(writer.create(&object)).unwrap();
        }
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.header("user-agent", USER_AGENT);
        let request = request.body(bytes).unwrap();
        self.runtime.block_on(self.client.request(request)).map_err(|error| error.to_string())
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.request("GET", path, &Value::Null).ok()
    }

    pub(crate) fn merge(&self, path: &str, patch: &Value) {
        self.request("PATCH", path, patch).unwrap();
    }

    /// Sends an object; the answer.
    pub(crate) fn post(&self, path: &str, object: &Value) -> Value {
        self.request("POST", path, object).unwrap()
    }

    pub(crate) fn delete(&self, path: &str) {
        self.request("DELETE", path, &Value::Null).unwrap();
    }

    /// Sends an object that is refused; why.
    pub(crate) fn refused(&self, path: &str, object: &Value) -> String {
        self.request("POST", path, object).unwrap_err()
    }

    /// What a container wrote.
    pub(crate) fn log(&self, namespace: &str, pod: &str) -> String {
        self.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"))
    }

    /// An answer that is no object.
    pub(crate) fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.runtime.block_on(self.client.request_text(request)).unwrap_or_default()
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Value {
        self.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).unwrap_or_default()
    }

    /// Waits until a Pod is ready; its address.
    pub(crate) fn ready_pod(&self, namespace: &str, name: &str) -> String {
        self.wait(&format!("Pod {namespace}/{name} is ready"), || {
            let pod = self.pod(namespace, name);
            is_ready(&pod).then(|| pod["status"]["podIP"].as_str().unwrap().to_owned())
        })
    }

    /// Waits until so many Pods of a label `app` are ready and no other is left; their names.
    pub(crate) fn ready_pods(&self, namespace: &str, app: &str, count: usize) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}");
        self.wait(&format!("{count} Pods of {namespace}/{app} are ready"), || {
            let list = self.get(&path)?;
            let pods = list["items"].as_array()?;
            let names = pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned());
            (pods.len() == count && pods.iter().all(is_ready)).then(|| names.collect())
        })
    }

    /// Waits until a Service has an address.
    pub(crate) fn service_address(&self, namespace: &str, name: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        self.get(&path).unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned()
    }

    /// Runs a command in a Pod.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Output {
        let lab_exec = ["lab", "exec", "-n", namespace, pod, "--"];
        self.bed.run(&[&lab_exec[..], command].concat())
    }

    /// Runs `sealane probe` in a Pod.
    pub(crate) fn probe(&self, namespace: &str, pod: &str, probe: &[&str]) -> Vec<Seen> {
        let output = self.exec(namespace, pod, &[&["sealane", "probe", "--output", "json"], probe].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let seen: Vec<Seen> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if seen.is_empty() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return vec![Seen { error: Some(error), ..Seen::default() }];
        }
        seen
    }

    /// Waits until a request from a Pod is answered.
    pub(crate) fn answered(&self, namespace: &str, pod: &str, url: &str) -> Seen {
        self.wait(&format!("{namespace}/{pod} reaches {url}"), || {
            self.probe(namespace, pod, &["http", url, "--timeout", "1000"]).pop().filter(|seen| seen.ok)
        })
    }

    /// Waits until there is a value.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = look() {
                return value;
            }
            assert!(Instant::now() < deadline, "waited too long: {what}\n{}", self.state());
            std::thread::sleep(LOOK);
        }
    }

    /// What helps to understand a failure.
    fn state(&self) -> String {
        let log = std::fs::read_to_string(self.info["log"].as_str().unwrap()).unwrap_or_default();
        let pods = self.get("/api/v1/pods").unwrap_or_default();
        let statuses: Vec<Value> = pods["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pod| json!([pod["metadata"]["name"], pod["status"]]))
            .collect();
        format!("{}\n{log}", json!(statuses))
    }

    /// The agents' processes by node, as this machine numbers them.
    pub(crate) fn agents(&self) -> Vec<(String, i32)> {
        let place = self.bed.dir.display().to_string();
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            let words: Vec<&str> = command.split('\0').collect();
            if let ["sealane", "agent", "--node", node, ..] = words[..]
                && command.contains(&place)
            {
                found.push((node.to_owned(), pid));
            }
        }
        found.sort();
        found
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(&self.child, Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

/// A client with the lab's kubeconfig.
fn connect(runtime: &Runtime, info: &Value) -> watch::Client {
    let kubeconfig = PathBuf::from(info["kubeconfig"].as_str().unwrap());
    runtime.block_on(watch::connect(&watch::Access::Kubeconfig(kubeconfig))).unwrap()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions
            .into_iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
