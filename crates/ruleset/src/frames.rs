//! Frames of Pods on the bridge: a table of its own in the family `bridge`, `frames.nft`, filled with who sends from where.

use std::sync::LazyLock;

use types::IpFamily;

use crate::fixed::with_twins;
use crate::parse::parse;
use crate::render::{member, put};
use crate::value::{Key, LinkBytes, Rule, Ruleset, TableFamily, Value};

static FRAMES: LazyLock<Ruleset> = LazyLock::new(|| {
    parse(&with_twins(include_str!("frames.nft"))).expect("frames.nft parses: a test reads it")
});

/// The table for frames of Pods without any of them.
#[must_use]
pub fn fixed_frame_rules() -> Ruleset {
    FRAMES.clone()
}

/// The rules a chain of this name has in the table for frames.
pub(crate) fn known_rules(chain: &str) -> Option<Vec<Rule>> {
    FRAMES.chains.get(chain).map(|chain| chain.rules.clone())
}

/// The table for frames of a node plan; absent where no Pod is or will be on a bridge.
#[must_use]
pub fn render_frames(plan: &plan::NodePlan) -> Ruleset {
    let Some(bridge) = &plan.podnet.bridge else { return Ruleset::absent(TableFamily::Bridge) };
    let mut rules = fixed_frame_rules();
    let gateways = rules.sets.get_mut("gateways").expect("frames.nft has the set gateways");
    gateways.elements.insert(Key::exact(vec![Value::Mac(bridge.mac)]), member(""));
    for (link, port) in &bridge.ports {
        for address in &port.addresses {
            let pod = plan.podnet.local_pods.get(address).map(ToString::to_string).unwrap_or_default();
            let key = vec![Value::Link(LinkBytes::new(link)), Value::Mac(port.mac), Value::Address(*address)];
            put(&mut rules, "senders", IpFamily::of(*address), Key::exact(key), member(&pod));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_survives_print_and_parse() {
        let rules = fixed_frame_rules();
        assert!(rules.sets.contains_key("senders6"));
        assert_eq!(rules.chains["from-pod"].rules.len(), 4);
        assert_eq!(parse(&rules.to_string()), Ok(rules));
    }

    #[test]
    fn no_chain_has_a_name_of_the_other_table() {
        assert!(FRAMES.chains.keys().all(|chain| !crate::fixed_rules().chains.contains_key(chain)));
    }
}
