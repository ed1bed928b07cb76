//! A server on a loopback port with a runtime that only pretends, and ways to talk to it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine_store::{PatchKind, StoreConfig, Target, Write, WriteOptions};
use serde_json::{Value, json};
use serve_api::{ApiHandle, ApiServer, ApiServerConfig, Credentials, kubeconfig};
use tokio_util::sync::CancellationToken;

use crate::pretence::Pretence;

use sealane_serve_api as serve_api;

/// A running server and the files of its clients.
pub(crate) struct World {
    pub(crate) credentials: Credentials,
    pub(crate) handle: ApiHandle,
    pub(crate) directory: PathBuf,
    /// Programs and connections that the pretended runtime keeps for clients.
    pub(crate) conversations: Arc<AtomicUsize>,
    /// The runtime the server runs in; tests may use it too.
    pub(crate) tokio: tokio::runtime::Handle,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl World {
    /// A server without a data directory.
    pub(crate) fn start() -> Self {
        Self::start_in(None)
    }

    /// A server that keeps its objects in the given directory.
    pub(crate) fn start_in(data_dir: Option<&Path>) -> Self {
        Self::start_with(data_dir, &Credentials::generate().unwrap())
    }

    /// The same with credentials of an earlier start.
    pub(crate) fn start_with(data_dir: Option<&Path>, credentials: &Credentials) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sealane-api-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let credentials = credentials.clone();
        std::fs::write(directory.join("kubeconfig"), kubeconfig(&credentials, &format!("https://{address}")))
            .unwrap();
        let conversations = Arc::new(AtomicUsize::new(0));
        let server = ApiServer::new(ApiServerConfig {
            listeners: vec![listener],
            credentials: credentials.clone(),
            data_dir: data_dir.map(Path::to_owned),
            runtime: Arc::new(Pretence { conversations: Arc::clone(&conversations) }),
            store: store_config(),
        })
        .unwrap();
        let handle = server.handle();
        let shutdown = CancellationToken::new();
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let runtime = tokio.handle().clone();
        let token = shutdown.clone();
        let thread = std::thread::spawn(move || {
            tokio.block_on(server.serve(token)).unwrap();
            tokio.shutdown_timeout(Duration::from_secs(5));
        });
        Self { credentials, handle, directory, conversations, tokio: runtime, shutdown, thread: Some(thread) }
    }

    /// Runs kubectl; `None` (with the skip line) where there is none.
    pub(crate) fn kubectl(&self, test: &str) -> Option<Kubectl<'_>> {
        let found = Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).status();
        if found.is_ok_and(|status| status.success()) {
            Some(Kubectl { world: self })
        } else {
            println!("sealane-skip: {test}: kubectl is not on the PATH");
            None
        }
    }

    /// Changes an object without HTTP.
    pub(crate) fn write(&self, target: &Target, write: Write) -> Value {
        let options = WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() };
        self.tokio.block_on(self.handle.write(target, write, &options)).unwrap().object
    }

    /// Makes a Pod that is scheduled, running and ready.
    pub(crate) fn running_pod(&self, name: &str, labels: Value) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "example.com/web:1"}]},
        });
        self.write(&target("", "pods", None, None), Write::Create(pod));
        let status = json!({"status": {
            "phase": "Running", "podIP": "10.244.0.7", "podIPs": [{"ip": "10.244.0.7"}], "hostIP": "172.31.0.11",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 0, "image": "example.com/web:1",
                "imageID": "", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
        }});
        self.write(&target("", "pods", Some(name), Some("status")), Write::Patch(PatchKind::Merge, status));
    }

    /// Waits until the pretended runtime keeps this many programs and connections for clients.
    #[track_caller]
    pub(crate) fn wait_for_conversations(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.conversations.load(Ordering::SeqCst) != count {
            let now = self.conversations.load(Ordering::SeqCst);
            assert!(Instant::now() < deadline, "{now} conversations, not {count}");
            std::thread::yield_now();
        }
    }

    /// Ends the server and waits for it.
    pub(crate) fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The ranges of a lab.
pub(crate) fn store_config() -> StoreConfig {
    StoreConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        node_port_range: (30_000, 32_767),
        keep_journal: false,
    }
}

/// Something in the namespace `default`.
pub(crate) fn target(group: &str, resource: &str, name: Option<&str>, part: Option<&str>) -> Target {
    Target {
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: Some("default".to_owned()),
        name: name.map(str::to_owned),
        subresource: part.map(str::to_owned),
    }
}

/// kubectl, talking to one server.
pub(crate) struct Kubectl<'a> {
    world: &'a World,
}

impl Kubectl<'_> {
    /// A command that is not started yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(line.split_whitespace())
            .env("KUBECONFIG", self.world.directory.join("kubeconfig"))
            .env("HOME", &self.world.directory)
            .env("KUBE_EDITOR", "true")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::from(line, self.command(line).output().unwrap())
    }

    /// Runs a command with this input.
    pub(crate) fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut command = self.command(line);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::from(line, child.wait_with_output().unwrap())
    }

    /// Runs a command that must succeed; returns what it printed.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    /// Runs a command that must succeed with this input.
    pub(crate) fn ok_with(&self, line: &str, input: &str) -> String {
        self.run_with(line, input).ok()
    }
}

/// What a command left behind.
pub(crate) struct Ran {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn from(line: &str, output: Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The output of a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "kubectl {}\n{}{}", self.line, self.out, self.err);
        self.out
    }

    /// The error text of a command that failed.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        assert_ne!(self.code, Some(0), "kubectl {}\n{}", self.line, self.out);
        self.err
    }
}
