//! What is measured: our server with and without a data directory, and etcd with a kube-apiserver as its peer.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::client::Address;
use crate::process::{Memory, Program, Scratch};

/// How long a server may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// The programs of the peer.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) etcd: PathBuf,
    pub(crate) apiserver: PathBuf,
}

/// A way to run an API server.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) durable: bool,
    peer: Option<Peer>,
}

/// A server that is ready.
pub(crate) struct Running {
    pub(crate) address: Address,
    /// From the start of the process to the first `ok` of `/readyz`.
    pub(crate) start_up: Duration,
    programs: Vec<Program>,
}

impl Subject {
    pub(crate) fn all(peer: Option<&Peer>) -> Vec<Self> {
        let mut all = vec![
            Self { name: "sealane, in memory", durable: false, peer: None },
            Self { name: "sealane, durable", durable: true, peer: None },
        ];
        if let Some(peer) = peer {
            all.push(Self { name: "kube-apiserver, no fsync", durable: false, peer: Some(peer.clone()) });
            all.push(Self { name: "kube-apiserver, durable", durable: true, peer: Some(peer.clone()) });
        }
        all
    }

    /// Our counterpart of a peer, or the peer of ours.
    pub(crate) fn is_peer_of(&self, other: &Self) -> bool {
        self.durable == other.durable && self.peer.is_some() != other.peer.is_some()
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.peer.is_none()
    }

    pub(crate) fn describe(&self) -> String {
        let Some(peer) = &self.peer else {
            return format!("version {}", env!("CARGO_PKG_VERSION"));
        };
        let first = |program: &Path| {
            let output = Command::new(program).arg("--version").output().unwrap();
            String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
        };
        format!("{}, {}", first(&peer.apiserver), first(&peer.etcd))
    }

    /// A new, empty directory where this subject's durability is what it claims: on a disk, not in memory.
    pub(crate) fn directory(&self) -> Scratch {
        let target = std::env::current_exe().unwrap();
        Scratch::new(target.parent().unwrap())
    }

    /// Starts it on what the directory holds and waits until it is ready.
    pub(crate) async fn start(&self, directory: &Scratch) -> Running {
        match &self.peer {
            None => self.start_ours(directory).await,
            Some(peer) => self.start_peer(peer, directory).await,
        }
    }

    async fn start_ours(&self, directory: &Scratch) -> Running {
        let port = free_port();
        // The credentials are there before: making keys is no part of starting.
        let credentials = sealane_serve_api::Credentials::load_or_generate(&directory.join("pki")).unwrap();
        let address = Address::new(
            SocketAddr::from(([127, 0, 0, 1], port)),
            credentials.authority_pem(),
            credentials.administrator_token(),
        );
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("serve").arg(directory.join("")).arg(port.to_string());
        if self.durable {
            command.arg("durable");
        }
        let start = Instant::now();
        let program = Program::start(command, &directory.join("server.log"));
        let start_up = ready(&address, start, &directory.join("server.log")).await;
        Running { address, start_up, programs: vec![program] }
    }

    async fn start_peer(&self, peer: &Peer, directory: &Scratch) -> Running {
        let (client, cluster, port) = (free_port(), free_port(), free_port());
        let mut etcd = Command::new(&peer.etcd);
        let (url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{cluster}"));
        etcd.arg("--data-dir").arg(directory.join("etcd")).args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
            "--initial-cluster",
            &format!("default={peer_url}"),
            "--quota-backend-bytes",
            "8589934592",
            "--log-level",
            "error",
        ]);
        if !self.durable {
            etcd.arg("--unsafe-no-fsync");
        }
        let token = "bench-token";
        let authority = write_credentials(directory, token);
        let mut server = Command::new(&peer.apiserver);
        server.args([
            "--bind-address=127.0.0.1",
            &format!("--secure-port={port}"),
            &format!("--etcd-servers={url}"),
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=AlwaysAllow",
            // Without the controllers that make service accounts, no Pod would be admitted.
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://bench.invalid",
        ]);
        for (option, file) in [
            ("--cert-dir", "certificates"),
            ("--tls-cert-file", "server.crt"),
            ("--tls-private-key-file", "server.key"),
            ("--token-auth-file", "tokens.csv"),
            ("--service-account-key-file", "server.crt"),
            ("--service-account-signing-key-file", "server.key"),
        ] {
            server.arg(option).arg(directory.join(file));
        }
        let address = Address::new(SocketAddr::from(([127, 0, 0, 1], port)), &authority, token);
        let start = Instant::now();
        let etcd = Program::start(etcd, &directory.join("etcd.log"));
        let server = Program::start(server, &directory.join("server.log"));
        let start_up = ready(&address, start, &directory.join("server.log")).await;
        Running { address, start_up, programs: vec![server, etcd] }
    }
}

impl Running {
    /// The memory of all its processes.
    pub(crate) fn memory(&self) -> Memory {
        self.programs.iter().map(Program::memory).sum()
    }

    /// Processor time of all its processes, in seconds.
    pub(crate) fn processor_seconds(&self) -> f64 {
        self.programs.iter().map(Program::processor_seconds).sum()
    }
}

/// A port nobody listens on at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An authority, a server certificate with its key, and the one token the server is to know.
fn write_credentials(directory: &Scratch, token: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    std::fs::write(directory.join("server.crt"), certificate).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tokens.csv"), format!("{token},bench,bench,\"system:masters\"\n"))
        .unwrap();
    authority
}

/// Waits for the first `ok` of `/readyz`.
async fn ready(address: &Address, start: Instant, log: &Path) -> Duration {
    while start.elapsed() < READY_LIMIT {
        if let Ok(mut client) = address.connect().await {
            let answer = client.send(Method::GET, "/readyz", "", bytes::Bytes::new()).await;
            if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return start.elapsed();
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not ready in time:\n{}", std::fs::read_to_string(log).unwrap_or_default());
}
