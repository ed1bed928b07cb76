//! The lessons of the tour: what is applied, what is tried, and what must come of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use futures_util::future::BoxFuture;
use types::{PodName, ServiceName};

use super::guide::{Guide, Place};

mod entry;
mod names;
mod pods;
mod rules;
mod services;

/// One lesson.
pub(crate) struct Lesson {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// What it shows.
    pub(crate) title: &'static str,
    /// File name of its manifest, below `examples/`.
    pub(crate) file: &'static str,
    /// Its manifest.
    pub(crate) manifest: &'static str,
    /// What is tried.
    pub(crate) run: for<'a> fn(&'a mut Guide) -> BoxFuture<'a, Result<()>>,
}

macro_rules! lesson {
    ($number:literal, $file:literal, $title:literal, $run:path) => {
        Lesson {
            number: $number,
            title: $title,
            file: $file,
            manifest: include_str!(concat!("../../../../examples/", $file)),
            run: |guide| Box::pin($run(guide)),
        }
    };
}

/// All lessons, in order.
pub(crate) const LESSONS: &[Lesson] = &[
    lesson!(1, "01-containers.yaml", "Containers of a Pod share localhost", pods::containers),
    lesson!(
        2,
        "02-pods.yaml",
        "Pods reach each other with their own addresses, on a node and across nodes",
        pods::pods
    ),
    lesson!(3, "03-service.yaml", "A Service outlives its Pods and follows their number", services::service),
    lesson!(4, "04-ports.yaml", "port, targetPort and named ports", services::ports),
    lesson!(5, "05-nodeport.yaml", "A NodePort answers on every node", services::node_port),
    lesson!(6, "06-loadbalancer.yaml", "A LoadBalancer address from outside", services::load_balancer),
    lesson!(7, "07-externalname.yaml", "An ExternalName is an alias", names::external_name),
    lesson!(8, "08-dns.yaml", "Names: short, with namespace, full, and wrong", names::dns),
    lesson!(9, "09-ingress.yaml", "One HTTP entry: hosts, paths, TLS, rewrite", entry::ingress),
    lesson!(10, "10-networkpolicy.yaml", "A NetworkPolicy keeps the database to its backend", rules::policy),
    lesson!(
        11,
        "11-readiness.yaml",
        "A Pod that is not ready leaves its Service and returns",
        services::readiness
    ),
];

/// A Pod to try things from.
pub(crate) fn pod(namespace: &str, name: &str) -> Place {
    Place::Pod { pod: PodName::new(namespace, name), container: None }
}

/// Names and addresses of the Pods behind a Service that are ready, waiting until there are as many as said.
pub(crate) async fn ready_pods(
    guide: &Guide,
    service: &ServiceName,
    count: usize,
) -> Result<Vec<(String, IpAddr)>> {
    let what = format!("{count} ready endpoints of Service {service}");
    guide
        .wait(&what, |snapshot| {
            let slices = snapshot.endpoint_slices.values();
            let slices = slices.filter(|slice| slice.service.as_ref() == Some(service));
            let ready = slices.flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.ready);
            let pods: BTreeSet<_> = ready
                .filter_map(|endpoint| Some((endpoint.pod.as_ref()?.name.clone(), endpoint.address)))
                .collect();
            (pods.len() == count).then(|| pods.into_iter().collect())
        })
        .await
}

/// Address of a Pod, waiting until it has one.
pub(crate) async fn pod_address(guide: &Guide, namespace: &str, name: &str) -> Result<IpAddr> {
    let wanted = PodName::new(namespace, name);
    let what = format!("an address of Pod {wanted}");
    guide.wait(&what, |snapshot| snapshot.pods.get(&wanted)?.addresses.first().copied()).await
}

/// The URL of an address, which stands in brackets when it is one of IPv6 (RFC 3986 section 3.2.2).
pub(crate) fn url(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(_) if port == 80 => format!("http://{address}/"),
        IpAddr::V6(_) if port == 80 => format!("http://[{address}]/"),
        _ => format!("http://{}/", SocketAddr::new(address, port)),
    }
}

/// The node port of a Service's first port.
pub(crate) async fn node_port_of(guide: &Guide, service: &ServiceName) -> Result<u16> {
    let what = format!("a node port of Service {service}");
    let port = guide.wait(&what, |snapshot| snapshot.services.get(service)?.ports.first()?.node_port).await?;
    Ok(port.number())
}

/// Names and addresses of all nodes.
pub(crate) async fn node_addresses(guide: &Guide) -> Result<Vec<(String, IpAddr)>> {
    let snapshot = guide.snapshot().await?;
    let nodes = snapshot.nodes.values();
    let addresses: Vec<_> =
        nodes.filter_map(|node| Some((node.name.to_string(), *node.addresses.first()?))).collect();
    ensure!(!addresses.is_empty(), "no node has an address: the lab is not as it should be");
    Ok(addresses)
}
