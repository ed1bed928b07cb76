//! LoadBalancer addresses that one node answers for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use types::{LinkName, ServiceName};

/// Addresses to announce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LbPlan {
    /// Link that faces the outside.
    pub link: Option<LinkName>,
    /// Addresses this node, and no other, answers for, and the Service each belongs to.
    pub announce: BTreeMap<IpAddr, ServiceName>,
    /// The node is about to go: load balancers in front are to send it nothing new.
    pub leaving: bool,
}
