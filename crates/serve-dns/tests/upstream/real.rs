//! A real resolver as the upstream server: unbound, where it is installed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use plan::{DnsCache, ForwardTransport, Upstream};
use tokio::net::TcpStream;

use crate::tls::{Signed, sign};
use crate::world::{DEADLINE, NXDOMAIN, World, free_port};

/// unbound with names of its own, ended and cleared away with this.
struct Unbound {
    process: Child,
    directory: PathBuf,
    plain: SocketAddr,
    secure: SocketAddr,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

impl Unbound {
    async fn start() -> Option<Self> {
        let (plain, secure) = (free_port().await, free_port().await);
        let directory = std::env::temp_dir().join(format!("sealane-unbound-{}-{plain}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name).display().to_string();
        let Signed { ca, certificate, key } = sign();
        std::fs::write(path("ca.pem"), ca.pem()).unwrap();
        std::fs::write(path("own.pem"), certificate.pem()).unwrap();
        std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        let crowd: String =
            (0..150).map(|last| format!("local-data: \"crowd.example. 60 A 192.0.2.{last}\"\n")).collect();
        let text = format!(
            "server:\nuse-syslog: no\ndo-daemonize: no\nusername: \"\"\nchroot: \"\"\npidfile: \"\"\n\
             directory: \"{}\"\nmodule-config: \"iterator\"\ntls-service-key: \"{}\"\ntls-service-pem: \"{}\"\n\
             interface: 127.0.0.1@{plain}\ninterface: 127.0.0.1@{secure}\ntls-port: {secure}\n\
             access-control: 127.0.0.0/8 allow\nlocal-zone: example. static\n\
             local-data: \"example. 900 SOA ns.example. root.example. 1 2 3 4 20\"\n\
             local-data: \"www.example. 60 A 192.0.2.7\"\n{crowd}",
            directory.display(),
            path("key.pem"),
            path("own.pem"),
        );
        std::fs::write(path("unbound.conf"), text).unwrap();
        let mut command = Command::new("unbound");
        command.args(["-d", "-c", &path("unbound.conf")]).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut process) = command.spawn() else {
            std::fs::remove_dir_all(&directory).ok();
            return None;
        };
        let plain = SocketAddr::from(([127, 0, 0, 1], plain));
        let is_up = async {
            while TcpStream::connect(plain).await.is_err() {
                if let Ok(Some(status)) = process.try_wait() {
                    panic!("unbound ended: {status}");
                }
            }
        };
        tokio::time::timeout(DEADLINE, is_up).await.expect("unbound listens");
        Some(Self { process, directory, plain, secure: ([127, 0, 0, 1], secure).into() })
    }
}

#[tokio::test]
async fn unbound_is_asked_over_udp_tcp_and_tls() {
    let Some(unbound) = Unbound::start().await else {
        println!("sealane-skip: unbound_is_asked_over_udp_tcp_and_tls: unbound is not installed");
        return;
    };
    for way in ["UDP", "TCP", "TLS"] {
        let world = World::new(&[unbound.plain], |wish| {
            wish.cache = Some(DnsCache::default());
            wish.forward.random_case = true;
            match way {
                "TCP" => wish.forward.transport = ForwardTransport::Tcp,
                "TLS" => {
                    let server_name = Some("dns.example".to_owned());
                    wish.forward.to = vec![Upstream::Tls { address: unbound.secure, server_name }];
                    let file = unbound.directory.join("ca.pem").display().to_string();
                    wish.forward.tls_ca_file = Some(file);
                }
                _ => {}
            }
        })
        .await;
        for _ in 0..2 {
            let records = world.ask("www.Example").await.records;
            assert_eq!(records.iter().map(|record| record.1).collect::<Vec<_>>(), [7], "{way}");
            assert_eq!(world.ask("none.example").await.rcode, NXDOMAIN, "{way}");
            let crowd = world.ask("crowd.example").await;
            assert!(
                crowd.is_truncated && crowd.records.is_empty(),
                "{way}: 150 addresses do not fit a datagram"
            );
        }
        let counts = world.server.statistics().caches[0].1;
        assert_eq!((counts.success_hits, counts.denial_hits), (2, 1), "{way}: each was asked once");
    }
}
