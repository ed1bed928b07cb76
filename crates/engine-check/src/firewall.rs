//! Rules of others that Pods' packets meet. Every base chain of a hook has its say: what one drops is lost, whatever the
//! others accept (nft(8), "verdict statement").

use crate::{Chain, CheckResult, Hook, Policy, Seen};

const CHECK: &str = "firewall";

pub(crate) fn check(seen: &Seen) -> Vec<CheckResult> {
    let mut results = Vec::new();
    match &seen.chains {
        Ok(chains) => results.extend(chains.iter().filter_map(judge)),
        Err(why) => {
            let remedy = "run it as root, in the node's network namespace";
            results.push(CheckResult::broken(
                CHECK,
                "nftables",
                format!("rules cannot be read: {why}"),
                remedy,
            ));
        }
    }
    for (table, why) in &seen.unread_tables {
        results.push(CheckResult::warning(
            CHECK,
            table,
            format!("it may drop what Pods send; what it says cannot be read here: {why}"),
            "see iptables-legacy-save and ip6tables-legacy-save",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::good(
            CHECK,
            "nftables, iptables",
            "nobody else drops forwarded or incoming packets",
        ));
    }
    results
}

fn judge(chain: &Chain) -> Option<CheckResult> {
    let object = format!("chain {}", chain.name);
    let remedy = match chain.hook {
        Hook::Forward => "let it accept packets from and to the Pod ranges, or make its policy accept",
        Hook::Input => {
            "let it accept the tunnel's UDP port and packets from the Pod ranges, or make its policy accept"
        }
    };
    let what = match chain.hook {
        Hook::Forward => "forwarded packets, and so those of Pods",
        Hook::Input => "packets to this node, and so the tunnel's",
    };
    match (chain.policy, chain.rules) {
        (Policy::Drop, 0) => {
            Some(CheckResult::broken(CHECK, object, format!("its policy drops all {what}"), remedy))
        }
        (Policy::Drop, rules) => Some(CheckResult::warning(
            CHECK,
            object,
            format!("its policy drops {what}, unless one of its {rules} rules accepts them"),
            remedy,
        )),
        (Policy::Accept, _) if chain.dropping > 0 => {
            let (dropping, rules) = (chain.dropping, chain.rules);
            let way =
                chain.reached_from.as_ref().map(|base| format!("{base} leads here: ")).unwrap_or_default();
            let message =
                format!("{way}{dropping} of its {rules} rules drop or reject {what}, if they match");
            Some(CheckResult::warning(CHECK, object, message, remedy))
        }
        (Policy::Accept, _) => None,
    }
}
