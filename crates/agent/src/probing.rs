//! Proves the ways to the other nodes in the background: sends what `engine-path` wants sent, and passes on what it found.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use engine_path::{Echo, PathKey, Prober};
use futures_util::FutureExt as _;
use model::Node;
use plan::PodNetwork;
use tokio::sync::{mpsc, watch};
use types::{FailingPath, IpFamily, NodeName, PathFacts, Shared, SharedMap};

use crate::echo::EchoSocket;
use crate::event::Event;
use crate::in_force::InForce;
use crate::observed::Observed;

/// Where it is said what is to be proved.
pub(crate) struct Probing {
    aims: watch::Sender<Option<Aim>>,
    /// What the last aim was worked out from.
    aimed: Option<Ground>,
}

/// What decides which ways there are to prove.
#[derive(Clone, PartialEq)]
struct Ground {
    nodes: SharedMap<NodeName, Node>,
    network: Shared<PodNetwork>,
    before: BTreeMap<NodeName, FailingPath>,
}

impl Probing {
    /// With the other end, for [`run`].
    pub(crate) fn new() -> (Self, watch::Receiver<Option<Aim>>) {
        let (aims, receiver) = watch::channel(None);
        (Self { aims, aimed: None }, receiver)
    }

    /// Proves the ways of the plan in force from now on, and no others.
    pub(crate) fn aim(&mut self, observed: &Observed, in_force: &InForce) {
        let Some(plan) = in_force.plan() else { return };
        let before = observed.paths(&plan.node).failing;
        let ground = Ground { nodes: observed.snapshot.nodes.clone(), network: plan.podnet.clone(), before };
        if self.aimed.as_ref() == Some(&ground) {
            return;
        }
        let paths = compile::paths_to_prove(&observed.snapshot, &plan.podnet);
        let aim = Some(Aim { paths, before: ground.before.clone() });
        self.aimed = Some(ground);
        self.aims.send_if_modified(|last| {
            let is_new = *last != aim;
            *last = aim;
            is_new
        });
    }
}

/// What is to be proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aim {
    /// Paths, and the size of the packets that Pods send there.
    pub(crate) paths: BTreeMap<PathKey, u32>,
    /// What the cluster was told to fail before this agent started.
    pub(crate) before: BTreeMap<NodeName, FailingPath>,
}

/// Probes for as long as somebody aims.
pub(crate) async fn run(mut aims: watch::Receiver<Option<Aim>>, events: mpsc::Sender<Event>) {
    let begin = Instant::now();
    let sockets = Sockets { v4: open(IpFamily::V4), v6: open(IpFamily::V6) };
    let mut prober = Prober::default();
    let mut told = PathFacts::default();
    loop {
        // Answers that wait first: this process may not have run while they came.
        while let Some(token) = sockets.receive().now_or_never() {
            prober.answered(token, begin.elapsed());
        }
        for echo in prober.take(begin.elapsed()) {
            if let Err(error) = sockets.send(&echo) {
                // As good as lost: its answer will not come.
                tracing::debug!(address = %echo.address, size = echo.size, %error, "a probe could not be sent");
            }
        }
        let facts = prober.facts();
        if facts != told && aims.borrow().is_some() {
            told = facts.clone();
            if events.send(Event::Paths(facts)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = aims.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Some(aim) = aims.borrow_and_update().clone() {
                    prober.aim(&aim.paths, &aim.before, begin.elapsed());
                }
            }
            token = sockets.receive() => prober.answered(token, begin.elapsed()),
            () = sleep_until(begin, prober.wake_at()) => {}
        }
    }
}

struct Sockets {
    v4: Option<EchoSocket>,
    v6: Option<EchoSocket>,
}

fn open(family: IpFamily) -> Option<EchoSocket> {
    let opened = EchoSocket::open(family);
    opened.inspect_err(|error| tracing::warn!(%error, %family, "the ways to other nodes are not proved")).ok()
}

impl Sockets {
    fn send(&self, echo: &Echo) -> io::Result<()> {
        let socket = match IpFamily::of(echo.address) {
            IpFamily::V4 => &self.v4,
            IpFamily::V6 => &self.v6,
        };
        socket.as_ref().map_or(Err(io::ErrorKind::Unsupported.into()), |socket| socket.send(echo))
    }

    async fn receive(&self) -> u32 {
        tokio::select! {
            token = receive(self.v4.as_ref()) => token,
            token = receive(self.v6.as_ref()) => token,
        }
    }
}

async fn receive(socket: Option<&EchoSocket>) -> u32 {
    let Some(socket) = socket else { return pending().await };
    loop {
        match socket.receive().await {
            Ok(token) => return token,
            // An ICMP error that came back; its probe counts as lost when its time is over.
            Err(error) => {
                tracing::debug!(%error, "a probe came back");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn sleep_until(begin: Instant, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until((begin + at).into()).await,
        None => pending().await,
    }
}
