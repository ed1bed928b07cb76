//! The node's place on the network that joins the nodes: read at the start, and again whenever links or addresses change.

use std::time::Duration;

use apply_netlink::{Netlink, NetlinkError, Notices};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use types::{LinkName, SubnetAddress, UnderlayFacts};

use crate::blocking::Blocking;
use crate::event::Event;

/// How often it is read although nothing was heard: the kernel drops notices that nobody takes in time.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long notices are gathered after the first: every Pod that comes or goes makes some, and none is about the
/// underlay.
const GATHER: Duration = Duration::from_millis(100);

/// Reads it from the kernel.
pub(crate) fn read(netlink: &mut Netlink, link: &LinkName) -> Result<UnderlayFacts, NetlinkError> {
    let facts = netlink.facts(link)?;
    let addresses = facts.addresses.into_iter();
    let addresses = addresses.filter_map(|(address, len)| SubnetAddress::new(address, len));
    Ok(UnderlayFacts { link: link.clone(), addresses: addresses.collect(), mtu: facts.mtu })
}

/// Passes on what differs from `known`, for as long as somebody listens.
///
/// A link that is gone, or has no address any more, is not passed on: what is in the kernel stays until there is
/// something to put in its place.
pub(crate) async fn follow(
    mut netlink: Blocking<Netlink>,
    notices: AsyncFd<Notices>,
    mut known: UnderlayFacts,
    events: mpsc::Sender<Event>,
) {
    loop {
        if let Ok(noticed) = tokio::time::timeout(LOOK_AGAIN, notices.readable()).await {
            let Ok(mut ready) = noticed else { return };
            tokio::time::sleep(GATHER).await;
            notices.get_ref().forget();
            ready.clear_ready();
        }
        let link = known.link.clone();
        match netlink.run(move |netlink| read(netlink, &link)).await {
            Ok(facts) if facts == known => {}
            Ok(facts) if facts.addresses.is_empty() => {
                tracing::warn!(link = %facts.link, "the underlay link has no address; the last one known is kept");
            }
            Ok(facts) => {
                tracing::info!(?facts, "the underlay changed");
                known = facts.clone();
                if events.send(Event::Underlay(facts)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "the underlay cannot be read; what was known is kept"),
        }
    }
}
