//! Servers as processes on one processor, and what the kernel says they cost.

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// How long a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A server that runs; it is ended when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

/// Keeps this thread, and what it starts from now on, on one processor.
pub(crate) fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).unwrap();
}

/// A port that was free a moment ago, for datagrams and for connections.
pub(crate) fn free_port() -> u16 {
    let free = |_| {
        let port = UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    };
    (0..1000).find_map(free).expect("some port is free")
}

impl Server {
    /// Starts a server on a processor and waits until it answers this question.
    pub(crate) fn start(
        mut command: Command,
        processor: usize,
        port: u16,
        name: &str,
    ) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    pin(processor);
                    command.spawn()
                })
                .join()
                .unwrap()
        });
        let child = spawned.map_err(|error| format!("cannot run it ({error})"))?;
        let mut server = Self { child, port };
        let end = Instant::now() + START_LIMIT;
        while !server.answers(name) {
            if let Some(status) = server.child.try_wait().unwrap() {
                return Err(format!("it ended by itself ({status})"));
            }
            if Instant::now() > end {
                return Err(format!("it did not answer within {} s", START_LIMIT.as_secs()));
            }
        }
        Ok(server)
    }

    /// Whether the server answers a question for an address without an error.
    fn answers(&self, name: &str) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let mut reply = [0; 512];
        let sent = socket.send_to(&query, ("127.0.0.1", self.port));
        if sent.is_err() || socket.recv(&mut reply).is_err() || reply[3] & 0x0f != 0 {
            // Also when nobody listens yet, which is known at once.
            std::thread::sleep(Duration::from_millis(20));
            return false;
        }
        true
    }

    /// Its process and those it started.
    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut index = 0;
        while let Some(process) = all.get(index) {
            let path = format!("/proc/{process}/task/{process}/children");
            let children = std::fs::read_to_string(path).unwrap_or_default();
            all.extend(children.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
            index += 1;
        }
        all
    }

    /// How long its threads have run, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let mut nanoseconds = 0.0;
        for process in self.processes() {
            for task in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                nanoseconds +=
                    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
            }
        }
        nanoseconds / 1e9
    }

    /// The memory that is its own, in MiB: pages that several processes share count in shares.
    pub(crate) fn memory(&self) -> f64 {
        let of = |process: u32| {
            let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0)
        };
        self.processes().into_iter().map(of).sum::<f64>() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first, for those that have processes of their own.
        let _ = nix::sys::signal::kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        );
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
