//! What is broken on a node: what was seen of it, judged, with the setting, object or file at fault and what to do.
//!
//! Nothing is read here; whoever looks at a node fills in [`Seen`].

mod bridge;
mod firewall;
mod kernel;
mod paths;
mod plugin;
mod ranges;
mod result;
mod seen;

pub use result::{CheckResult, Verdict};
pub use seen::{Chain, CniFile, Expected, Feature, Hook, Link, Policy, Route, Seen};

/// Judges everything that was seen; every check has at least one result.
#[must_use]
pub fn check(seen: &Seen, expected: &Expected) -> Vec<CheckResult> {
    let mut results = Vec::new();
    results.extend(kernel::settings(seen, expected));
    results.extend(kernel::features(seen));
    results.push(kernel::conntrack(seen));
    results.extend(firewall::check(seen));
    results.extend(ranges::check(seen, expected));
    results.extend(bridge::check(seen));
    results.extend(paths::check(seen, expected));
    results.extend(plugin::check(seen));
    results
}

#[cfg(test)]
mod tests;
