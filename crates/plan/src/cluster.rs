//! What should be true once for the whole cluster: statuses and assignments, written by the cluster loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use types::{NamespacedName, NodeName, ObjectRef, Prefix, ServiceName};

use crate::Finding;

/// Everything that should be true once for the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPlan {
    /// Pod ranges for Nodes that have none.
    pub pod_cidrs: BTreeMap<NodeName, Vec<Prefix>>,
    /// Statuses that differ from what the API says; each is written once.
    pub statuses: Vec<StatusWrite>,
    /// What deserves an Event on its object.
    pub findings: BTreeSet<Finding>,
}

/// One status to write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StatusWrite {
    /// `status.loadBalancer.ingress` of a Service; empty clears it.
    Service {
        /// The Service.
        service: ServiceName,
        /// Its LoadBalancer addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// `status.loadBalancer.ingress` of an Ingress; empty clears it.
    Ingress {
        /// The Ingress.
        ingress: NamespacedName,
        /// Addresses of the entry.
        addresses: BTreeSet<IpAddr>,
    },
    /// One of `status.conditions` of a Service or a Node, which all have their `type` as key.
    Condition {
        /// The object.
        object: ObjectRef,
        /// `type`.
        condition_type: String,
        /// What becomes of it.
        change: ConditionChange,
    },
}

/// What becomes of a condition; one that is there is True.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ConditionChange {
    /// It becomes True now.
    Begins(ConditionText),
    /// It stays True and says something else.
    Continues {
        /// Its `lastTransitionTime`, in seconds since the epoch.
        since: i64,
        /// What it says.
        text: ConditionText,
    },
    /// It is removed.
    Ends,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConditionText {
    /// `reason`: one CamelCase word.
    pub reason: String,
    /// `message`, for a person.
    pub message: String,
}
