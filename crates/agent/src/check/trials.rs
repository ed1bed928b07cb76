//! What the kernel can do, tried in a network namespace that goes away with the last descriptor on it.

use apply_netlink::Netlink;
use apply_nft::Nft;
use engine_check::Feature;
use netns::Netns;
use plan::{DnsPlan, GatewayPlan, LbPlan, NodePlan, PodNetwork, PolicyTable, ServiceTable};

use types::with_causes;

/// Tries links, and all rules that do not depend on the cluster: they use every expression that any rule of ours has.
pub(super) fn features() -> Vec<Feature> {
    let tried =
        Netns::create_unnamed().and_then(|netns| netns::run_in(&netns, || [links(), vec![rules()]].concat()));
    tried.unwrap_or_else(|error| {
        let outcome = Err(with_causes(&error));
        vec![Feature { name: "network namespaces", needs: "CONFIG_NET_NS", outcome }]
    })
}

fn links() -> Vec<Feature> {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            let outcome = Err(with_causes(&error));
            return vec![Feature { name: "rtnetlink", needs: "CONFIG_NET", outcome }];
        }
    };
    let tried = netlink.try_links().into_iter();
    tried
        .map(|(name, outcome)| Feature {
            name,
            needs: match name {
                "bridges" => "CONFIG_BRIDGE",
                "veth pairs" => "CONFIG_VETH",
                _ => "CONFIG_VXLAN",
            },
            outcome: outcome.map_err(|error| with_causes(&error)),
        })
        .collect()
}

fn rules() -> Feature {
    let plan = NodePlan {
        node: "trial".into(),
        podnet: PodNetwork::default(),
        services: ServiceTable::default(),
        policy: PolicyTable::default(),
        dns: DnsPlan::default(),
        gateway: GatewayPlan::default(),
        lb: LbPlan::default(),
    };
    let outcome = Nft::open().map_err(|error| with_causes(&error)).and_then(|mut nft| {
        let report = nft.converge(&ruleset::render(&plan));
        report.failures.first().map_or(Ok(()), |failure| Err(format!("{}: {}", failure.what, failure.why)))
    });
    let needs =
        "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET, CONFIG_NFT_CT, CONFIG_NFT_NAT and CONFIG_NF_CONNTRACK";
    Feature { name: "nftables with connection tracking and NAT", needs, outcome }
}
