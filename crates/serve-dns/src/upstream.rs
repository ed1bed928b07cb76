//! The upstream servers of every server block, and the replies kept from them.

mod datagram;
mod flights;
mod forward;
mod health;
mod probe;
mod server;
mod stream;
mod trust;

use std::sync::Arc;

use engine_dns::{Ask, ForwardId, Found, Question, Zone};
use plan::{DnsCache, DnsForward, DnsSettings};
use tokio::time::sleep;
use types::Shared;

use crate::asking::Asking;
use crate::cache::BlockCache;
pub(crate) use flights::Outcome;
pub(crate) use forward::Forward;
pub(crate) use probe::Probes;
pub(crate) use server::{Dialled, Upstream};

/// The upstream servers of a plan, by [`ForwardId`].
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    /// What they are the servers of.
    pub(crate) settings: Shared<DnsSettings>,
    pub(crate) blocks: Vec<Block>,
}

/// Those of one server block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) zones: Vec<String>,
    pub(crate) forwards: Vec<Arc<Forward>>,
    pub(crate) cache: Option<Arc<BlockCache>>,
    cache_settings: Option<DnsCache>,
}

impl Upstreams {
    /// Those of a zone's settings. What is the same as before stays: its connections, what is known of its health, and the
    /// replies kept.
    pub(crate) fn follow(last: &Self, zone: &Zone, asking: &Arc<Asking>) -> Self {
        let blocks = (0..).map_while(|index| Some((index, zone.block(index)?)));
        let blocks = blocks.map(|(index, block)| {
            let last = last.blocks.get(index);
            let forwards = (0..).zip(&block.forwards).map(|(forward, settings)| {
                let id = ForwardId { block: index, forward };
                let same = last.and_then(|last| last.forwards.get(forward));
                let servers = zone.servers(id);
                match same.filter(|same| same.settings == *settings && same.is_of(&servers)) {
                    Some(same) => (Arc::clone(same), true),
                    None => (mk_forward(settings, servers, asking), false),
                }
            });
            let (forwards, is_same): (Vec<_>, Vec<bool>) = forwards.unzip();
            let same = last.filter(|last| {
                last.cache_settings == block.cache
                    && last.forwards.len() == forwards.len()
                    && is_same.iter().all(|is_same| *is_same)
            });
            let cache = match same {
                Some(same) => same.cache.clone(),
                None => block.cache.as_ref().map(|settings| Arc::new(BlockCache::new(settings))),
            };
            let zones = block.zones.iter().cloned().collect();
            Block { zones, forwards, cache, cache_settings: block.cache.clone() }
        });
        Self { settings: zone.settings().clone(), blocks: blocks.collect() }
    }

    /// Looks for a kept reply, which is written to `out`, and has it asked anew if it is time; `false` when upstream servers
    /// are to be waited for.
    pub(crate) fn look_up(&self, ask: &Ask, out: &mut Vec<u8>) -> bool {
        let Some((block, forward)) = self.forward(ask.to) else { return false };
        let Some((cache, question)) = block.cache_of(ask) else { return false };
        match cache.look_up(question, forward.now(), out) {
            Found::Absent | Found::Waiting => false,
            Found::Fresh | Found::Stale => true,
            Found::Ending | Found::StaleEnding => {
                // Nobody waits for it.
                drop(self.start(ask, None));
                true
            }
        }
    }

    /// The reply of upstream servers, or a stale one if they have none in time.
    pub(crate) async fn ask(&self, ask: &Ask, client_id: Option<u16>) -> Option<Arc<[u8]>> {
        let mut outcome = self.start(ask, client_id)?;
        let (block, forward) = self.forward(ask.to)?;
        if let Some((cache, question)) = block.cache_of(ask) {
            tokio::select! {
                biased;
                reply = outcome.reply() => return reply,
                () = sleep(forward.config().stale_timer) => {
                    let mut out = Vec::new();
                    if cache.fall_back(question, forward.now(), &mut out) {
                        return Some(out.into());
                    }
                }
            }
        }
        outcome.reply().await
    }

    /// Starts to ask, or joins those who wait for the same.
    fn start(&self, ask: &Ask, client_id: Option<u16>) -> Option<Outcome> {
        let (block, forward) = self.forward(ask.to)?;
        let (kept, number) = (block.cache.clone().zip(ask.keep), ask.to.forward);
        forward.ask(&ask.query, client_id, move |query, reply, now| match kept {
            Some((cache, keep)) => cache.settle(Question { forward: number, keep, query }, reply, now),
            None => reply,
        })
    }

    fn forward(&self, id: ForwardId) -> Option<(&Block, &Arc<Forward>)> {
        let block = self.blocks.get(id.block)?;
        Some((block, block.forwards.get(id.forward)?))
    }
}

impl Block {
    /// The cache that has a say about a question.
    fn cache_of<'a>(&'a self, ask: &'a Ask) -> Option<(&'a BlockCache, Question<'a>)> {
        let question = Question { forward: ask.to.forward, keep: ask.keep?, query: &ask.query };
        Some((self.cache.as_deref()?, question))
    }
}

fn mk_forward(settings: &DnsForward, servers: Vec<engine_dns::Server>, asking: &Arc<Asking>) -> Arc<Forward> {
    let forward = Arc::new(Forward::new(settings.clone(), servers, Arc::clone(asking)));
    probe::look_for_loops(&forward);
    forward
}
