//! Our server as a process of its own: the same crate that the agent runs, with a plan that never changes.

use std::net::SocketAddr;

use serve_dns::{Config, DnsServer};

use crate::cluster::Size;

/// Serves until it is ended.
pub(crate) fn main(port: &str, upstream: &str, [services, endpoints]: [&str; 2]) {
    let size = Size { services: services.parse().unwrap(), endpoints: endpoints.parse().unwrap() };
    let mut plan = size.plan();
    plan.upstreams = vec![SocketAddr::from(([127, 0, 0, 1], upstream.parse().unwrap()))];
    // One worker, as there is one processor.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = DnsServer::start(Config { port: port.parse().unwrap(), ..Config::default() });
        let report = server.publish(&plan, 1);
        assert_eq!(report.failures, []);
        drop(plan);
        std::future::pending::<()>().await;
    });
}
