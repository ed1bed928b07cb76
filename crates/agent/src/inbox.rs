//! One queue for everything that can wake a loop, so that what arrives together is worked on together.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Instant;

use apply_netlink::{Netlink, Notices};
use futures_util::{Stream, StreamExt};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::{AgentRequest, UnderlayFacts};
use watch::Batch;

use crate::attachments;
use crate::blocking::Blocking;
use crate::event::{Event, Notice};
use crate::probing::{self, Probing};
use crate::resolvers;
use crate::socket::AgentSocket;
use crate::underlay;

/// Events taken at a time, and events that may wait; a source that is faster waits for the loop.
const MOST_EVENTS: usize = 256;

/// Where a loop's events come from.
pub(crate) struct Inbox {
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    /// With attachments, for a node.
    node: Option<(PathBuf, AgentSocket)>,
    /// Ends the sources with the inbox.
    sources: JoinSet<()>,
}

impl Inbox {
    /// Changes of the cluster, and signals.
    pub(crate) fn open(client: &watch::Client) -> io::Result<Self> {
        Self::open_sources(watch::changes(client))
    }

    /// Changes of what names come from, and signals.
    pub(crate) fn open_for_names(client: &watch::Client) -> io::Result<Self> {
        Self::open_sources(watch::changes_of_names(client))
    }

    /// Also requests of the CNI plugin.
    pub(crate) fn open_for_node(client: &watch::Client, state_dir: &Path) -> io::Result<Self> {
        let mut inbox = Self::open_sources(watch::changes(client))?;
        let sender = inbox.sender.clone();
        let known = read_attachments(state_dir);
        sender.try_send(known).expect("the queue is new and has room");
        inbox.node = Some((state_dir.to_owned(), AgentSocket::open(state_dir, sender)?));
        Ok(inbox)
    }

    /// Also what probing the ways to other nodes shows.
    pub(crate) fn probe(&mut self) -> Probing {
        let (probing, aims) = Probing::new();
        self.sources.spawn(probing::run(aims, self.sender.clone()));
        probing
    }

    fn open_sources(changes: impl Stream<Item = Batch> + Send + 'static) -> io::Result<Self> {
        let (sender, events) = mpsc::channel(MOST_EVENTS);
        let mut sources = JoinSet::new();
        sources.spawn(pass_changes(changes, sender.clone()));
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut signal = signal(kind)?;
            let sender = sender.clone();
            sources.spawn(async move {
                if signal.recv().await.is_some() {
                    // A loop that ended already needs no signal.
                    let _ = sender.send(Event::Stop).await;
                }
            });
        }
        Ok(Self { events, sender, node: None, sources })
    }

    /// Also changes of the node's place on the underlay, which is `known` now.
    pub(crate) fn follow_underlay(&mut self, known: UnderlayFacts) -> anyhow::Result<()> {
        // SAFETY: a `Notices` owns its socket, which is open and stays the same one until it is dropped.
        let notices = unsafe { AsyncFd::register(Notices::open()?)? };
        let netlink = Blocking::new(Netlink::open()?);
        self.sources.spawn(underlay::follow(netlink, notices, known, self.sender.clone()));
        Ok(())
    }

    /// Also changes of the node's resolver configuration; what it says now is the first event.
    pub(crate) fn follow_resolvers(&mut self, path: PathBuf) {
        let known = resolvers::read(&path);
        self.sender.try_send(Event::Resolvers(known.clone())).expect("the queue is new and has room");
        self.sources.spawn(resolvers::follow(path, known, self.sender.clone()));
    }

    /// Waits for an event, or until `deadline`, and takes along whatever else is there.
    pub(crate) async fn next(&mut self, deadline: Option<Instant>) -> Vec<Event> {
        let mut events = Vec::new();
        let arrival = self.events.recv_many(&mut events, MOST_EVENTS);
        match deadline {
            None => _ = arrival.await,
            Some(deadline) => {
                // recv_many loses nothing when it is dropped.
                let _ = tokio::time::timeout_at(deadline.into(), arrival).await;
            }
        }
        // A cluster that never rests has an event at every deadline.
        if events.is_empty() || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            events.push(Event::Timer);
        }
        if let Some((state_dir, _)) = &self.node {
            let read: Vec<Event> = events.iter().filter_map(|event| read_after(state_dir, event)).collect();
            events.extend(read);
        }
        events
    }
}

/// What an event makes the loop read. All of it when the time is up: a DEL whose notice was lost shows here.
fn read_after(state_dir: &Path, event: &Event) -> Option<Event> {
    match event {
        Event::Timer => Some(read_attachments(state_dir)),
        Event::Notice(Notice { request, .. }) => match request {
            AgentRequest::Added { container_id, ifname } | AgentRequest::Removed { container_id, ifname } => {
                let attachment = attachments::read_attachment(state_dir, container_id, ifname);
                let key = (container_id.clone(), ifname.clone());
                Some(Event::Attachment(key, attachment.map(Box::new), attachments::resting(state_dir)))
            }
            AgentRequest::Status | AgentRequest::ChainedStatus => None,
        },
        _ => None,
    }
}

fn read_attachments(state_dir: &Path) -> Event {
    Event::Attachments(attachments::read(state_dir), attachments::resting(state_dir))
}

async fn pass_changes(changes: impl Stream<Item = Batch>, sender: mpsc::Sender<Event>) {
    let mut changes = pin!(changes);
    while let Some(batch) = changes.next().await {
        if sender.send(Event::Changes(batch)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_is_up_also_where_there_is_always_an_event() {
        let (sender, events) = mpsc::channel(1);
        let mut inbox = Inbox { events, sender, node: None, sources: JoinSet::new() };
        for (deadline, has_timer) in [(None, false), (Some(Instant::now()), true)] {
            inbox.sender.send(Event::Stop).await.expect("room");
            let events = inbox.next(deadline).await;
            assert!(events.iter().any(|event| matches!(event, Event::Stop)), "{events:?}");
            assert_eq!(events.iter().any(|event| matches!(event, Event::Timer)), has_timer, "{events:?}");
        }
    }
}
