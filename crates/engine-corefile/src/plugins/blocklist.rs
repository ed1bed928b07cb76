//! `blocklist`, a directive of ours: names that nobody gets an address for.
//!
//! ```text
//! blocklist [nxdomain | ADDRESS...] {
//!     ads.example
//!     tracker.example telemetry.example
//! }
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{BlockedAnswer, DnsBlocklist};

use super::read_body;
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

pub(super) fn lower(directive: &Directive, report: &mut Report) -> Option<DnsBlocklist> {
    let answer = answer(&directive.head);
    let own = Verdict::own("names that nobody gets an address for");
    let outcome = answer.clone().and(Err(own));
    let is_taken = report.settle(&directive.head, outcome);
    let mut names = BTreeSet::new();
    read_body(&directive.body, report, |line| {
        for word in &line.words {
            names.insert(zones::name(word).map_err(Verdict::broken)?);
        }
        Ok(())
    });
    let at = directive.head.at.to_string();
    answer.ok().filter(|_| is_taken).map(|answer| DnsBlocklist { at, names, answer })
}

fn answer(head: &Statement) -> Result<BlockedAnswer, Verdict> {
    match head.arguments() {
        [] => Ok(BlockedAnswer::NxDomain),
        [word] if word.eq_ignore_ascii_case("nxdomain") => Ok(BlockedAnswer::NxDomain),
        words => {
            let address = |word: &String| {
                let wrong = || Verdict::broken(format!("`{word}` is neither `nxdomain` nor an IP address"));
                word.parse::<IpAddr>().map_err(|_| wrong())
            };
            words.iter().map(address).collect::<Result<_, _>>().map(BlockedAnswer::Addresses)
        }
    }
}
