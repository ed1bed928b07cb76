//! The real kube-proxy, on a node of its own, with an API server that has nothing but Services to say.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::cluster::{Change, POD_RANGE, Size};
use crate::space::Space;

/// The programs of iptables that kube-proxy runs.
const IPTABLES: [&str; 6] =
    ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];
/// Lines of its log that are told when it does not do what it should.
const LAST_WORDS: usize = 3;

/// In which mode it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Nftables,
    /// With the iptables of old kernels' interface, where it is here.
    Iptables,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Nftables, Self::Iptables];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "kube-proxy nftables",
            Self::Iptables => "kube-proxy iptables",
        })
    }
}

/// The process and its API server.
pub(crate) struct KubeProxy<'a> {
    pub(crate) mode: Mode,
    program: PathBuf,
    size: Size,
    space: &'a Space,
    limit: Duration,
    running: Option<Running>,
}

struct Running {
    process: Child,
    api: Api,
    log: Receiver<String>,
    last_words: VecDeque<String>,
}

impl<'a> KubeProxy<'a> {
    pub(crate) fn new(mode: Mode, program: &Path, size: Size, space: &'a Space, limit: Duration) -> Self {
        Self { mode, program: program.to_owned(), size, space, limit, running: None }
    }

    /// Starts it on a node without rules; how long its first synchronisation took.
    pub(crate) fn load(&mut self) -> Result<Duration, String> {
        let api = netns::run_in(self.space.node(), || Api::open(self.size)).unwrap();
        let mut command = Command::new(&self.program);
        let word = if self.mode == Mode::Nftables { "nftables" } else { "iptables" };
        command
            .arg(format!("--master=http://{}", api.address))
            .args(["--hostname-override=node-a", "--v=2", "--oom-score-adj=0"])
            .arg(format!("--cluster-cidr={POD_RANGE}"))
            .arg(format!("--proxy-mode={word}"))
            // Those are settings of the whole machine, or as they are.
            .args(["--conntrack-max-per-core=0", "--conntrack-min=0"])
            .args(["--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"])
            .env("PATH", search_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        self.space.node().enter_on_exec(&mut command).unwrap();
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let log = follow(process.stderr.take().unwrap());
        self.running = Some(Running { process, api, log, last_words: VecDeque::new() });
        self.synchronised()
    }

    /// One change; how long the synchronisation took that it led to.
    pub(crate) fn change(&mut self, change: &Change) -> Result<Duration, String> {
        let api = &self.running.as_ref().expect("it was started").api;
        match change {
            Change::Endpoint(service, _) => api.put_endpoints(service, "MODIFIED"),
            Change::Service(service) => {
                api.put_endpoints(service, "ADDED");
                self.synchronised()?;
                let api = &self.running.as_ref().expect("it was started").api;
                api.put_service(service);
            }
        }
        self.synchronised()
    }

    /// Megabytes that the process holds in memory.
    pub(crate) fn resident(&self) -> Option<f64> {
        crate::ours::resident(self.running.as_ref()?.process.id())
    }

    /// Waits for the end of a synchronisation; how long it says that took.
    fn synchronised(&mut self) -> Result<Duration, String> {
        let running = self.running.as_mut().expect("it was started");
        let end = Instant::now() + self.limit;
        loop {
            match running.log.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains("SyncProxyRules complete") && line.contains("\"IPv4\"") => {
                    let elapsed = line.split("elapsed=\"").nth(1).and_then(|rest| rest.split('"').next());
                    return elapsed.and_then(duration).ok_or(line);
                }
                Ok(line) => {
                    running.last_words.truncate(LAST_WORDS - 1);
                    running.last_words.push_front(line);
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("not done within {} s", self.limit.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("it has ended: {:?}", running.last_words));
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of its log.
fn follow(log: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        // Nobody listens any more once it was stopped.
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}

/// A search path that begins with a folder in which every program of iptables is the legacy one, if there is one.
fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let legacy = "/usr/sbin/xtables-legacy-multi";
    if !Path::new(legacy).exists() {
        return path;
    }
    let folder = Path::new("/run/iptables-legacy");
    std::fs::create_dir_all(folder).unwrap();
    for name in IPTABLES {
        let link = folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(legacy, link).unwrap();
        }
    }
    format!("{}:{path}", folder.display())
}

/// A duration as Go prints it, such as `1m2.5s` or `264.1ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        let factor = match &unit[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = &unit[end..];
    }
    Some(Duration::from_secs_f64(seconds))
}
