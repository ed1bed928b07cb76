//! Programs under measurement: started, looked at through `/proc`, ended by their process ids.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use engine_store::StoreConfig;
use sealane_serve_api::{ApiServer, ApiServerConfig, Credentials, NoPods};
use tokio_util::sync::CancellationToken;

/// A started program, killed when dropped.
pub(crate) struct Program(Child);

/// Memory in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that is in memory for it.
    pub(crate) resident: f64,
    /// The part that no file stands behind: heap and stacks.
    pub(crate) anonymous: f64,
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            resident: sum.resident + one.resident,
            anonymous: sum.anonymous + one.anonymous,
        })
    }
}

impl Program {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}")))
    }

    /// The memory it takes now (proc_pid_smaps_rollup(5)).
    pub(crate) fn memory(&self) -> Memory {
        let sums = self.proc("smaps_rollup");
        let bytes = |field: &str| {
            let line = sums.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            kibibytes * 1024.0
        };
        Memory { resident: bytes("Rss:"), anonymous: bytes("Anonymous:") }
    }

    /// Processor time used so far, in seconds.
    pub(crate) fn processor_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = self.proc("stat");
        // The second field may hold blanks; the others are counted from behind it (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    /// Kills the program as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A directory that goes when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = parent.join(format!("sealane-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Our server as a process of its own: writes its authority and token into the directory, then serves.
pub(crate) fn serve(arguments: &[String]) {
    let [directory, port, mode @ ..] = arguments else { panic!("serve DIRECTORY PORT [durable]") };
    let directory = PathBuf::from(directory);
    let durable = mode.first().is_some_and(|mode| mode == "durable");
    let credentials = Credentials::load_or_generate(&directory.join("pki")).unwrap();
    let port: u16 = port.parse().unwrap();
    let server = ApiServer::new(ApiServerConfig {
        listeners: vec![std::net::TcpListener::bind(("127.0.0.1", port)).unwrap()],
        credentials,
        data_dir: durable.then(|| directory.join("data")),
        runtime: Arc::new(NoPods),
        store: StoreConfig {
            service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
            node_port_range: (30_000, 32_767),
            keep_journal: false,
        },
    })
    .unwrap();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(server.serve(CancellationToken::new()))
        .unwrap();
}
