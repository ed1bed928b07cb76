//! The Services that a node's kernel has loaded, with the connections that it tracks to each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use apply_nft::{Nft, Tracked};
use netns::Netns;
use ruleset::{FrontendOverview, TableFamily, Way, overview};
use serde::Serialize;

/// An address and port that clients may aim at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedFrontend {
    /// The Service (or Pod), its port after a colon, and the kind of address.
    pub owner: String,
    /// `ADDRESS:PORT/PROTOCOL`; of an address all of whose ports are refused, the address alone.
    pub frontend: String,
    /// What becomes of new connections of clients on the node.
    pub internal: LoadedWay,
    /// And of all other clients.
    pub external: LoadedWay,
    /// Whether `loadBalancerSourceRanges` keep clients out.
    pub guarded: bool,
    /// Whether there is session affinity.
    pub affinity: bool,
    /// Connections by the backend that answers them, endpoints that get nothing new among them.
    pub backends: BTreeMap<SocketAddr, Connections>,
}

/// What becomes of new connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadedWay {
    /// To one of these, and in how many of all the draws.
    Forwarded(BTreeMap<SocketAddr, usize>),
    /// Dropped: no endpoint of the kind that the traffic policy wants.
    Dropped,
    /// Refused: no endpoint.
    Refused,
}

/// Connections that the kernel tracks at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Open ones; of UDP, all.
    pub open: usize,
    /// Those that are being opened or closed.
    pub ending: usize,
}

/// Reads what a node has loaded; of the caller's own network namespace, or of another.
///
/// # Errors
/// When the namespace cannot be entered, or its tables cannot be read, which takes CAP_NET_ADMIN.
pub fn loaded_services(netns: Option<&Path>) -> anyhow::Result<Vec<LoadedFrontend>> {
    let netns = match netns {
        Some(path) => Netns::open(path)?,
        None => Netns::current()?,
    };
    let (rules, connections) = netns::run_in(&netns, || {
        let mut nft = Nft::open()?;
        Ok::<_, apply_nft::NftError>((nft.read_back(TableFamily::Inet)?, nft.connections()?))
    })??;
    Ok(with_connections(overview(&rules), &connections))
}

fn with_connections(frontends: Vec<FrontendOverview>, connections: &[Tracked]) -> Vec<LoadedFrontend> {
    let mut tally: BTreeMap<_, BTreeMap<SocketAddr, Connections>> = BTreeMap::new();
    for Tracked { connection, is_open } in connections {
        let of_frontend = tally.entry((connection.frontend, connection.protocol)).or_default();
        let count = of_frontend.entry(connection.backend.into()).or_default();
        *if *is_open { &mut count.open } else { &mut count.ending } += 1;
    }
    frontends
        .into_iter()
        .map(|found| {
            let (internal, external) = (way(&found.internal), way(&found.external));
            let mut backends = tally.remove(&(found.frontend, found.protocol)).unwrap_or_default();
            for way in [&internal, &external] {
                if let LoadedWay::Forwarded(slots) = way {
                    for backend in slots.keys() {
                        backends.entry(*backend).or_default();
                    }
                }
            }
            LoadedFrontend {
                frontend: frontend_text(&found),
                owner: found.comment,
                internal,
                external,
                guarded: found.guarded,
                affinity: found.remembers,
                backends,
            }
        })
        .collect()
}

fn way(way: &Way) -> LoadedWay {
    match way {
        Way::Dropped => LoadedWay::Dropped,
        Way::Refused => LoadedWay::Refused,
        Way::Slots(slots) => {
            let mut counts = BTreeMap::new();
            slots.iter().for_each(|backend| *counts.entry((*backend).into()).or_default() += 1);
            LoadedWay::Forwarded(counts)
        }
    }
}

fn frontend_text(found: &FrontendOverview) -> String {
    let protocol = match found.protocol {
        0 => return found.frontend.0.to_string(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        132 => "SCTP".to_owned(),
        number => number.to_string(),
    };
    format!("{}/{protocol}", SocketAddr::from(found.frontend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruleset::Connection;

    #[test]
    fn connections_are_counted_where_they_belong() {
        let end = |text: &str| -> (std::net::IpAddr, u16) {
            let address: SocketAddr = text.parse().expect("an address and a port");
            (address.ip(), address.port())
        };
        let frontend = FrontendOverview {
            frontend: end("10.96.0.9:80"),
            protocol: 6,
            comment: "shop/web:http".to_owned(),
            internal: Way::Slots(vec![
                end("10.244.1.2:8080"),
                end("10.244.1.2:8080"),
                end("10.244.1.3:8080"),
            ]),
            external: Way::Refused,
            guarded: false,
            remembers: false,
        };
        let tracked = |protocol, aim, backend, is_open| Tracked {
            connection: Connection { protocol, frontend: end(aim), backend: end(backend) },
            is_open,
        };
        let loaded = with_connections(
            vec![frontend],
            &[
                tracked(6, "10.96.0.9:80", "10.244.1.2:8080", true),
                tracked(6, "10.96.0.9:80", "10.244.1.9:8080", false),
                tracked(17, "10.96.0.9:80", "10.244.1.2:8080", true),
                tracked(6, "10.244.1.3:8080", "10.244.1.3:8080", true),
            ],
        );
        let [loaded] = loaded.as_slice() else { panic!("{loaded:?}") };
        assert_eq!(loaded.frontend, "10.96.0.9:80/TCP");
        let counts: Vec<_> = loaded.backends.values().map(|count| (count.open, count.ending)).collect();
        assert_eq!(counts, [(1, 0), (0, 0), (0, 1)], "one that is gone is still seen");
        let LoadedWay::Forwarded(slots) = &loaded.internal else { panic!("{loaded:?}") };
        assert_eq!(slots.values().copied().collect::<Vec<_>>(), [2, 1]);
    }
}
