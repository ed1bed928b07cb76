//! The listening sockets of a gateway: opened and closed as the plan says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use engine_http::Scheme;
use plan::{Failure, GatewayPlan, Report};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connection;
use crate::shared::Shared;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// The open sockets.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    open: BTreeMap<SocketAddr, Open>,
}

#[derive(Debug)]
struct Open {
    scheme: Scheme,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

/// Every socket a plan wants.
pub(crate) fn wanted(plan: &GatewayPlan) -> BTreeMap<SocketAddr, Scheme> {
    let ports = [(plan.https_port, Scheme::Https), (plan.http_port, Scheme::Http)];
    let ports = ports.into_iter().filter_map(|(port, scheme)| Some((port?.number(), scheme)));
    ports
        .flat_map(|(port, scheme)| {
            plan.addresses.iter().map(move |address| (SocketAddr::new(*address, port), scheme))
        })
        .collect()
}

impl Listeners {
    /// Opens what is missing and closes what is no longer wanted; other sockets and their connections are not
    /// touched. Connections of a closed socket end after the requests they are at.
    pub(crate) fn converge(&mut self, wanted: &BTreeMap<SocketAddr, Scheme>, shared: &Arc<Shared>) -> Report {
        let mut report = Report::default();
        let superfluous = self.open.extract_if(.., |address, open| wanted.get(address) != Some(&open.scheme));
        for (_, open) in superfluous {
            open.close();
            report.written += 1;
        }
        for (address, scheme) in wanted {
            if self.open.contains_key(address) {
                continue;
            }
            match listen(*address) {
                Ok(listener) => {
                    let closing = CancellationToken::new();
                    let accepting = accept(listener, *scheme, Arc::clone(shared), closing.clone());
                    let task = tokio::spawn(accepting);
                    self.open.insert(*address, Open { scheme: *scheme, closing, task });
                    report.written += 1;
                }
                Err(error) => report.failures.push(Failure {
                    what: format!("{} socket {address}", scheme.as_str()),
                    why: error.to_string(),
                }),
            }
        }
        report
    }

    /// The addresses that are served.
    pub(crate) fn addresses(&self) -> BTreeMap<SocketAddr, Scheme> {
        self.open.iter().map(|(address, open)| (*address, open.scheme)).collect()
    }

    /// Closes all, and returns the tasks to wait for.
    pub(crate) fn close(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.open).into_values().map(Open::close).collect()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.close();
    }
}

impl Open {
    /// The socket itself is closed by aborting its task, since nothing else holds it.
    fn close(self) -> JoinHandle<()> {
        self.closing.cancel();
        self.task.abort();
        self.task
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Old connections that linger in TIME_WAIT do not keep a restarted gateway out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, scheme: Scheme, shared: Arc<Shared>, closing: CancellationToken) {
    loop {
        // Connections beyond the limit wait in the kernel's backlog.
        let Ok(permit) = Arc::clone(&shared.connections).acquire_owned().await else { return };
        let accepted = listener.accept().await.and_then(|(stream, client)| {
            let local = stream.local_addr()?;
            Ok((stream, (client, local)))
        });
        match accepted {
            Ok((stream, ends)) => {
                let serving = connection::serve(Arc::clone(&shared), stream, ends, scheme, closing.clone());
                shared.tasks.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            // Such as too many open files: give the connections that hold them time to end.
            Err(error) => {
                tracing::warn!(%error, "could not accept an HTTP connection");
                tokio::time::sleep(shared.config.accept_pause).await;
            }
        }
    }
}
