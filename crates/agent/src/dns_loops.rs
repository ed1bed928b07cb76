//! DNS servers that ask this node what this node asks them, told as findings about the Node.

use plan::{Finding, Severity};
use serve_dns::Statistics;
use types::{NodeName, ObjectRef};

/// One for each such server.
pub(crate) fn of(node: &NodeName, statistics: &Statistics) -> impl Iterator<Item = Finding> {
    let loops = statistics.upstreams.iter().filter(|server| server.leads_back);
    loops.map(|server| Finding {
        severity: Severity::Error,
        object: ObjectRef::cluster("Node", node.as_str()),
        field: String::new(),
        reason: "DnsLoop",
        message: format!(
            "the DNS server {} asks this node what it is asked, and is asked no more; let it, or the resolv.conf that names \
             it, lead to servers outside the cluster",
            server.address
        ),
    })
}
