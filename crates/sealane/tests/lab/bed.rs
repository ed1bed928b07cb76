//! A place for one lab: starts the built binary, and looks at what is left of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use serde_json::{Value, json};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a wait pauses between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// An ordinary user that every Linux has.
const NOBODY: u32 = 65534;

/// A lab in a directory of its own.
pub(crate) struct Bed {
    pub(crate) dir: PathBuf,
    pub(crate) user: Option<u32>,
}

impl Bed {
    pub(crate) fn new(name: &str) -> Self {
        // The ending keeps one lab's name from being the beginning of another's, by which processes are told apart.
        let dir = std::env::temp_dir().join(format!("sealane-lab-test-{}-{name}.lab", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self { dir, user: None }
    }

    /// The same as an ordinary user; none when this test is one already, or that user cannot reach the binary.
    pub(crate) fn as_ordinary_user(name: &str) -> Option<Self> {
        let mut bed = Self::new(name);
        fs::set_permissions(&bed.dir, fs::Permissions::from_mode(0o777)).unwrap();
        bed.user = getuid().is_root().then_some(NOBODY);
        bed.sealane(&["version"]).status().is_ok_and(|status| status.success()).then_some(bed)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("lab")
    }

    pub(crate) fn sealane(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
        command.args(arguments).env("SEALANE_STATE_DIR", self.state_dir()).env("HOME", &self.dir);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.sealane(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts a lab in the foreground and waits until it says that it is ready.
    pub(crate) fn up(&self) -> (Child, Value) {
        self.up_with(&[])
    }

    /// The same with flags.
    pub(crate) fn up_with(&self, flags: &[&str]) -> (Child, Value) {
        let mut command = self.sealane(&["lab", "up", "--output", "json"]);
        command.args(flags);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while serde_json::from_str::<Value>(&text).is_err() {
            assert!(lines.read_line(&mut text).unwrap() > 0, "the lab ended early: {text}");
        }
        let info: Value = serde_json::from_str(&text).unwrap();
        println!("ready after {} ms", info["readyAfterMillis"]);
        (child, info)
    }

    /// Starts a Pod whose program can be found among this machine's processes.
    pub(crate) fn start_pod(&self, info: &Value, mark: &str) {
        let kubeconfig = PathBuf::from(info["kubeconfig"].as_str().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = watch::connect(&watch::Access::Kubeconfig(kubeconfig)).await.unwrap();
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "sleeper", "namespace": "default" },
                "spec": { "containers": [{ "name": "c", "image": "busybox", "command": ["sleep", mark] }] },
            });
            apply_kube::Writer::new(client.clone()).create(&pod).await.unwrap();
            let mut pods = pin!(watch::objects::<Pod>(&client, watch::Selection::default()));
            let running = async {
                while let Some(batch) = pods.next().await {
                    if let watch::ObjectBatch::Put(pod) = batch
                        && pod.status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
                    {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, running).await.expect("the Pod runs in time");
        });
        assert_eq!(processes_with(mark), 1, "the Pod's program runs on this machine");
    }

    /// Everything that a lab may leave behind on a machine.
    pub(crate) fn check_nothing_left(&self, mark: &str) {
        wait_until("no process is left", || processes_with(&self.dir.display().to_string()) == 0);
        wait_until("no program of a Pod is left", || processes_with(mark) == 0);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.to_str().unwrap()), "a mount is left:\n{mounts}");
        let links = fs::read_dir("/sys/class/net").unwrap().flatten();
        let ours =
            links.map(|link| link.file_name()).find(|name| name.to_string_lossy().starts_with("sealane"));
        assert_eq!(ours, None, "a link is left");
    }

    pub(crate) fn check_state_dir_gone(&self) {
        assert!(!self.state_dir().exists(), "the state directory is left");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Processes, other than this one and its relatives by name, with a text among their arguments.
pub(crate) fn processes_with(text: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|word| String::from_utf8_lossy(word).contains(text))
        })
        .count()
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        // Looking all the time would take the processor from the labs that are waited for.
        std::thread::sleep(PAUSE);
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// A number that no other process sleeps for.
pub(crate) fn mark(number: u32) -> String {
    format!("{}{number}", 8_000_000 + std::process::id())
}

/// Whether this user may make namespaces here; says so in the output if not.
pub(crate) fn can_run(test: &str) -> bool {
    let mut command = Command::new("true");
    netns::world::World::new().with_pids().enter_on_exec(&mut command);
    match command.status() {
        Ok(_) => true,
        Err(error) => {
            println!("sealane-skip: {test}: no namespaces ({error}): {}", netns::world::hint());
            false
        }
    }
}
