//! The Services that every subject serves: as many as asked for, and in their middle the one that is measured.
//!
//! The others lead to addresses that nobody has: what they cost is to be there.

use std::net::Ipv4Addr;

use crate::serve::{DATAGRAM_PORT, ECHO_PORT, SINK_PORT};

/// Ranges that hold 100 000 Services with ten endpoints each.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/12";
pub(crate) const POD_RANGE: &str = "10.128.0.0/9";
/// Where the Pods of the measured node are.
pub(crate) const NODE_POD_RANGE: &str = "10.201.1.0/24";
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 201, 1, 2);
/// What the measured Service leads to, all on one Pod's link.
pub(crate) const SERVERS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 201, 1, 3), Ipv4Addr::new(10, 201, 1, 4), Ipv4Addr::new(10, 201, 1, 5)];
/// The measured Service's ClusterIP.
pub(crate) const MEASURED: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
pub(crate) const NAMESPACE: &str = "bench";

const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 1, 0);
const FIRST_ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);
/// Endpoints that replace others: beyond all that Services begin with.
const FIRST_SPARE: Ipv4Addr = Ipv4Addr::new(10, 150, 0, 1);

/// One Service port; its endpoints have the same number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) number: u16,
}

const ORDINARY_PORTS: [Port; 1] = [Port { name: "http", protocol: "tcp", number: 80 }];
const MEASURED_PORTS: [Port; 3] = [
    Port { name: "sink", protocol: "tcp", number: SINK_PORT },
    Port { name: "echo", protocol: "tcp", number: ECHO_PORT },
    Port { name: "datagrams", protocol: "udp", number: DATAGRAM_PORT },
];

/// One Service with its endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) cluster_ip: Ipv4Addr,
    pub(crate) ports: &'static [Port],
    pub(crate) endpoints: Vec<Ipv4Addr>,
    /// Whether its endpoints are on the measured node.
    pub(crate) is_local: bool,
}

/// How large the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
}

/// What is changed while all else stays.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// One endpoint of a Service is another now: the Service, and the endpoint that it had.
    Endpoint(Service, Ipv4Addr),
    /// A Service more.
    Service(Service),
}

impl Size {
    /// Every Service, in the order of their addresses but for the measured one.
    pub(crate) fn all(self) -> Vec<Service> {
        let mut services: Vec<Service> = (0..self.services).map(|index| self.ordinary(index)).collect();
        services.insert(services.len() / 2, measured());
        services
    }

    fn ordinary(self, index: u32) -> Service {
        let endpoint = |number| after(FIRST_ENDPOINT, index * self.endpoints + number);
        Service {
            name: format!("svc-{index:06}"),
            cluster_ip: after(FIRST_SERVICE, index),
            ports: &ORDINARY_PORTS,
            endpoints: (0..self.endpoints).map(endpoint).collect(),
            is_local: false,
        }
    }

    /// Replaces the last endpoint of a Service in the middle, the first time, the second time…
    pub(crate) fn replaced_endpoint(self, time: u32) -> Change {
        let mut service = self.ordinary(self.services / 2);
        let last = service.endpoints.last_mut().expect("every Service has endpoints");
        let before = if time == 0 { *last } else { after(FIRST_SPARE, time - 1) };
        *last = after(FIRST_SPARE, time);
        Change::Endpoint(service, before)
    }

    /// Adds a Service, the first time, the second time…
    pub(crate) fn added_service(self, time: u32) -> Change {
        Change::Service(self.ordinary(self.services + time))
    }
}

fn measured() -> Service {
    Service {
        name: "measured".to_owned(),
        cluster_ip: MEASURED,
        ports: &MEASURED_PORTS,
        endpoints: SERVERS.to_vec(),
        is_local: true,
    }
}

fn after(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    (u32::from(first) + number).into()
}
