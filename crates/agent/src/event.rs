//! Everything a loop can be woken by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::sync::oneshot;
use types::{AgentAnswer, AgentRequest, Attachment, LinkName, PathFacts, ResolvConf, UnderlayFacts};
use watch::Batch;

/// Container ID and name of the link inside.
pub(crate) type AttachmentKey = (String, LinkName);

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The cluster changed.
    Changes(Batch),
    /// The CNI plugin told or asked something.
    Notice(Notice),
    /// All that the CNI plugin has given out, and the addresses that rest.
    Attachments(Vec<Attachment>, BTreeSet<IpAddr>),
    /// One thing that the CNI plugin has given out or taken back, read after a notice, and the addresses that rest.
    Attachment(AttachmentKey, Option<Box<Attachment>>, BTreeSet<IpAddr>),
    /// The network that joins the nodes is another one, seen from here.
    Underlay(UnderlayFacts),
    /// The node's own resolver configuration is another one.
    Resolvers(ResolvConf),
    /// Probing the ways to the other nodes has shown something new.
    Paths(PathFacts),
    /// The time is up that the loop wanted to be woken at.
    Timer,
    /// The process was asked to end.
    Stop,
}

/// A request of the CNI plugin and where its answer goes.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) request: AgentRequest,
    pub(crate) answer: oneshot::Sender<AgentAnswer>,
}
