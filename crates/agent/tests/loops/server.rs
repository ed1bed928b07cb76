//! An API server on loopback for one test, and waiting with a deadline.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine_store::StoreConfig;
use serve_api::{ApiServer, ApiServerConfig, Credentials};
use tokio_util::sync::{CancellationToken, DropGuard};
use watch::{Access, Client};

use crate::exec::UpperPods;

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running server; it stops when dropped.
pub(crate) struct TestServer {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    address: SocketAddr,
    directory: PathBuf,
    credentials: Credentials,
    running: Option<DropGuard>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let credentials = Credentials::generate().expect("credentials");
        let directory = mk_directory();
        let socket = TcpListener::bind(address).expect("a free address");
        let address = socket.local_addr().expect("bound");
        let running = serve(&credentials, socket, &directory).expect("a new server");
        let kubeconfig = directory.join("kubeconfig");
        let text = serve_api::kubeconfig(&credentials, &format!("https://{address}"));
        std::fs::write(&kubeconfig, text).expect("kubeconfig");
        let client = watch::connect(&Access::Kubeconfig(kubeconfig.clone())).await.expect("client");
        Self { client, kubeconfig, address, directory, credentials, running: Some(running) }
    }

    /// Ends the server; its objects stay.
    pub(crate) fn stop(&mut self) {
        drop(self.running.take());
    }

    /// Ends the server and starts another with the same objects at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        let start = || async {
            let socket = TcpListener::bind(self.address).ok()?;
            serve(&self.credentials, socket, &self.directory)
        };
        let running = eventually("the old server lets go of its port and files", start).await;
        self.running = Some(running);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // What cannot be removed is in a directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn mk_directory() -> PathBuf {
    static SERVERS: AtomicUsize = AtomicUsize::new(0);
    let number = SERVERS.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("sealane-api-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("temporary directory");
    directory
}

/// None while the files are still those of another server.
fn serve(credentials: &Credentials, socket: TcpListener, directory: &Path) -> Option<DropGuard> {
    let config = ApiServerConfig {
        listeners: vec![socket],
        credentials: credentials.clone(),
        data_dir: Some(directory.join("data")),
        runtime: Arc::new(UpperPods),
        store: StoreConfig {
            service_cidrs: vec!["10.96.0.0/16".to_owned().try_into().expect("prefix")],
            node_port_range: (30000, 32767),
            keep_journal: true,
        },
    };
    let server = ApiServer::new(config).ok()?;
    let shutdown = CancellationToken::new();
    tokio::spawn(server.serve(shutdown.clone()));
    Some(shutdown.drop_guard())
}

/// Asks until there is an answer, or fails the test at the deadline.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a future, or fails the test at the deadline.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}
