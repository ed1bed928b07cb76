//! Value types with invariants, shared by every stage: addresses, ports, names, selectors, verdicts.
//!
//! Nothing here knows Kubernetes objects, plans or the kernel; nothing here acts.

mod address;
mod attachment;
mod causes;
mod hash;
mod labels;
mod name;
mod node_facts;
mod port;
mod resolv_conf;
mod runtime_config;
mod selector;
mod shared;
mod shared_map;
mod verdict;

pub use address::{IpFamily, Mac, Prefix, PrefixError, dashed};
pub use attachment::{
    AgentAnswer, AgentRequest, Attachment, LinkOrigin, NetworkMode, NodeNetwork, POD_BRIDGE, PodLink,
    pod_bridge_mac,
};
pub use causes::with_causes;
pub use hash::{fnv_hash, mixed_hash};
pub use labels::PackedLabels;
pub use name::{
    Labels, LinkName, NameParts, NamespacedName, NodeName, ObjectRef, PodName, ServiceName, TopologyZone,
};
pub use node_facts::{
    FailingPath, MOST_FAILING_PATHS, Masquerading, NETWORK_ANNOTATION, NodeFacts, PathFacts, PoolFacts,
    SubnetAddress, SubnetAddressError, TunnelMode, UnderlayFacts,
};
pub use port::{Port, PortError, PortProto, Protocol, ProtocolError};
pub use resolv_conf::ResolvConf;
pub use runtime_config::{BIGGEST_PACKET, Bandwidth, PortMapping, Rate};
pub use selector::{LabelSelector, LabelTerm, LabelTest, Operator, Requirement};
pub use shared::Shared;
pub use shared_map::{Difference, Iter, SharedMap};
pub use verdict::Verdict;
