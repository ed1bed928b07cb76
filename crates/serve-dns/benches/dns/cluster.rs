//! The names that are asked for, in the forms that each server wants them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use plan::{DnsEndpoint, DnsPlan, DnsService, DnsServiceKind};
use serde_json::{Value, json};
use types::{ServiceName, dashed};

const NAMESPACES: u32 = 100;
/// One of so many Services is headless.
const HEADLESS: u32 = 10;
/// How many names outside of the cluster there are.
const OUTSIDE: u32 = 1000;

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
}

/// One Service.
struct Service {
    name: String,
    namespace: String,
    /// None is headless.
    address: Option<Ipv4Addr>,
    endpoints: Vec<Ipv4Addr>,
}

impl Size {
    fn services(self) -> impl Iterator<Item = Service> {
        let each = self.endpoints / self.services;
        (0..self.services).map(move |number| Service {
            name: format!("web-{number}"),
            namespace: format!("team-{}", number % NAMESPACES),
            address: (number % HEADLESS != 0).then(|| numbered([10, 96, 0, 0], number)),
            endpoints: (0..each).map(|own| numbered([10, 128, 0, 0], number * each + own)).collect(),
        })
    }

    /// As ours has it.
    pub(crate) fn plan(self) -> DnsPlan {
        let service = |service: Service| {
            let kind = service.address.map_or_else(DnsServiceKind::headless, |address| {
                DnsServiceKind::ClusterIp { addresses: BTreeSet::from([address.into()]), ports: Vec::new() }
            });
            let endpoint = |address: Ipv4Addr| DnsEndpoint {
                hostname: dashed(address.into()),
                address: address.into(),
                ports: Vec::new(),
            };
            let endpoints = service.endpoints.into_iter().map(endpoint).collect();
            (ServiceName::new(&service.namespace, &service.name), DnsService { kind, endpoints })
        };
        DnsPlan {
            cluster_domain: "cluster.local".to_owned(),
            addresses: BTreeSet::from([IpAddr::from(Ipv4Addr::LOCALHOST)]),
            namespaces: (0..NAMESPACES)
                .map(|number| format!("team-{number}"))
                .collect::<BTreeSet<_>>()
                .into(),
            services: self.services().map(service).collect(),
            ttl_seconds: 5,
            ..DnsPlan::default()
        }
    }

    /// As a zone file.
    pub(crate) fn zone(self) -> String {
        let mut text = zone_head("cluster.local");
        for service in self.services() {
            let name = format!("{}.{}.svc", service.name, service.namespace);
            if let Some(address) = service.address {
                let _ = writeln!(text, "{name} A {address}");
            }
            for endpoint in service.endpoints {
                if service.address.is_none() {
                    let _ = writeln!(text, "{name} A {endpoint}");
                }
                let _ = writeln!(text, "{}.{name} A {endpoint}", dashed(endpoint.into()));
            }
        }
        text
    }

    /// As lists of the API, by their paths.
    pub(crate) fn lists(self) -> [(&'static str, String); 3] {
        let list = |kind: &str, version: &str, items: Vec<Value>| {
            let kind = format!("{kind}List");
            json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items})
                .to_string()
        };
        let namespaces = (0..NAMESPACES).map(|number| {
            let name = format!("team-{number}");
            json!({"metadata": {"name": name, "uid": format!("n{number}"), "resourceVersion": "1"}})
        });
        let (mut services, mut slices) = (Vec::new(), Vec::new());
        for service in self.services() {
            let address = service.address.map_or("None".to_owned(), |address| address.to_string());
            let meta = |suffix: &str, labels: Value| {
                let name = format!("{}{suffix}", service.name);
                json!({"name": name, "namespace": service.namespace, "labels": labels, "resourceVersion": "1"})
            };
            services.push(json!({"metadata": meta("", json!({})), "spec": {
                "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}],
            }}));
            let endpoint =
                |address: &Ipv4Addr| json!({"addresses": [address], "conditions": {"ready": true}});
            slices.push(json!({
                "metadata": meta("-x", json!({"kubernetes.io/service-name": service.name})),
                "addressType": "IPv4", "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
                "endpoints": service.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            }));
        }
        [
            ("/api/v1/namespaces", list("Namespace", "v1", namespaces.collect())),
            ("/api/v1/services", list("Service", "v1", services)),
            (
                "/apis/discovery.k8s.io/v1/endpointslices",
                list("EndpointSlice", "discovery.k8s.io/v1", slices),
            ),
        ]
    }

    /// Questions as dnsperf reads them, of every name of a kind and in no order.
    pub(crate) fn questions(self, names: Names) -> String {
        let number = match names {
            Names::Outside => OUTSIDE,
            _ => self.services,
        };
        let mut text = String::new();
        for step in 0..number.max(50_000) {
            // A step that shares no factor with the numbers there are visits each once.
            let number = u64::from(step) * 7_368_787 % u64::from(number);
            let namespace = number % u64::from(NAMESPACES);
            let is_headless = number % u64::from(HEADLESS) == 0;
            let _ = match names {
                Names::Cluster if is_headless => Ok(()),
                Names::Headless if !is_headless => Ok(()),
                Names::Cluster | Names::Headless => {
                    writeln!(text, "web-{number}.team-{namespace}.svc.cluster.local A")
                }
                Names::Missing => writeln!(text, "none-{number}.team-{namespace}.svc.cluster.local A"),
                Names::Outside => writeln!(text, "host-{number}.example.com A"),
            };
        }
        text
    }
}

/// Which names are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Names {
    /// Services with a cluster address.
    Cluster,
    /// Services with an address for each endpoint.
    Headless,
    /// Names of the cluster domain that there are not.
    Missing,
    /// Names that others know.
    Outside,
}

impl Names {
    pub(crate) const ALL: [Self; 4] = [Self::Cluster, Self::Headless, Self::Missing, Self::Outside];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster names",
            Self::Headless => "headless names",
            Self::Missing => "NXDOMAIN",
            Self::Outside => "cached names",
        }
    }
}

/// The zone of the names that others know, as a zone file.
pub(crate) fn outside_zone() -> String {
    let mut text = zone_head("example.com");
    for number in 0..OUTSIDE {
        let _ = writeln!(text, "host-{number} A {}", numbered([192, 0, 2, 0], number % 250));
    }
    text.replace("$TTL 5\n", "$TTL 3600\n")
}

fn zone_head(origin: &str) -> String {
    format!(
        "$ORIGIN {origin}.\n$TTL 5\n@ SOA ns.dns hostmaster 1 7200 1800 86400 5\n@ NS ns.dns\nns.dns A 127.0.0.1\n"
    )
}

fn numbered(first: [u8; 4], number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::from(first).to_bits() + number)
}
