//! Health checks: only of a server that has failed, until it answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_dns::{Name, RecordType, query_packet};
use plan::DnsForward;
use tokio::time::{sleep, timeout};

use crate::upstream::forward::Forward;
use crate::upstream::server::Upstream;

/// How long a health check may take (CoreDNS, `plugin/pkg/proxy`, `NewHealthChecker`).
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// Checks a server that has failed, unless that is being done. It lasts as long as the forward does.
pub(crate) fn check(server: &Arc<Upstream>, forward: &Forward) {
    if forward.settings.max_fails == 0 || server.is_checked.swap(true, Ordering::Relaxed) {
        return;
    }
    let asking = Arc::clone(&forward.asking);
    let pause = Duration::from_millis(u64::from(forward.settings.health_check_millis).max(1));
    let server = Arc::downgrade(server);
    let query = query(&forward.settings);
    forward.asking.runtime.spawn(async move {
        while let Some(server) = server.upgrade() {
            // Any reply will do.
            if let Ok(Ok(_)) = timeout(CHECK_LIMIT, server.exchange(&query, &asking, None)).await {
                server.fails.store(0, Ordering::Relaxed);
                server.is_checked.store(false, Ordering::Relaxed);
                return;
            }
            server.fails.fetch_add(1, Ordering::Relaxed);
            server.failed_checks.fetch_add(1, Ordering::Relaxed);
            drop(server);
            sleep(pause).await;
        }
    });
}

/// What is asked (CoreDNS, `plugin/pkg/proxy/health.go`). A name that is none, which nobody lets in here, is the root.
fn query(settings: &DnsForward) -> Vec<u8> {
    let name = Name::parse(&settings.health_check_name).or_else(|_| Name::parse("."));
    let mut query = name.map(|name| query_packet(&name, RecordType::NS, 0)).unwrap_or_default();
    if let Some(flags) = query.get_mut(2).filter(|_| !settings.health_check_recursion) {
        // RD, "recursion desired" (RFC 1035 section 4.1.1).
        *flags &= !1;
    }
    query
}
