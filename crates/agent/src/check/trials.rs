//! What the kernel can do, tried in a network namespace that goes away with the last descriptor on it.

use std::collections::{BTreeMap, BTreeSet};

use apply_netlink::Netlink;
use apply_nft::Nft;
use engine_check::Feature;
use netns::Netns;
use plan::{DnsPlan, NodePlan, PodBridge, ServiceTable};
use ruleset::Ruleset;
use types::{NetworkMode, NodeNetwork, POD_BRIDGE, pod_bridge_mac, with_causes};

/// Tries links, and all rules that do not depend on the cluster: they use every expression that any rule of ours has.
pub(super) fn features(network: Option<&NodeNetwork>) -> Vec<Feature> {
    let is_bridged = network.is_some_and(|network| network.link.mode == NetworkMode::Bridge);
    let mut trial = trial();
    trial.podnet.bridge = is_bridged.then(|| PodBridge {
        link: POD_BRIDGE.into(),
        mac: pod_bridge_mac(),
        routes: BTreeSet::new(),
        ports: BTreeMap::new(),
    });
    let look = || {
        let frames = is_bridged.then(|| Feature {
            name: "nftables for frames on bridges",
            needs: "CONFIG_NF_TABLES_BRIDGE",
            outcome: load(&ruleset::render_frames(&trial)),
        });
        [links(), vec![rules(&trial)], frames.into_iter().collect()].concat()
    };
    let tried = Netns::create_unnamed().and_then(|netns| netns::run_in(&netns, look));
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

/// A node in no cluster.
fn trial() -> NodePlan {
    NodePlan {
        node: "trial".into(),
        podnet: Default::default(),
        services: ServiceTable::default(),
        policy: Default::default(),
        dns: DnsPlan::default(),
        gateway: Default::default(),
        lb: Default::default(),
    }
}

fn load(rules: &Ruleset) -> Result<(), String> {
    let report = Nft::open().map_err(|error| with_causes(&error))?.converge(rules);
    report.failures.first().map_or(Ok(()), |failure| Err(format!("{}: {}", failure.what, failure.why)))
}

fn rules(plan: &NodePlan) -> Feature {
    let outcome = load(&ruleset::render(plan));
    let needs =
        "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET, CONFIG_NFT_CT, CONFIG_NFT_NAT and CONFIG_NF_CONNTRACK";
    Feature { name: "nftables with connection tracking and NAT", needs, outcome }
}
