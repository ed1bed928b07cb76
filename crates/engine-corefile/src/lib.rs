//! CoreDNS's configuration file as settings of our DNS servers, and what becomes of each of its lines.
//!
//! [`read`] never fails: what cannot be taken over is told by its line and left out, and a text that is no Corefile at all
//! gives no settings. Files, environment and ConfigMaps are the caller's.

mod duration;
mod lexer;
mod numbers;
mod parse;
mod plugins;
mod report;
mod template_text;
mod zones;

use std::collections::{BTreeMap, BTreeSet};

use plan::{DnsBlock, DnsSettings};

use crate::parse::{ServerBlock, parse};
use crate::report::Report;
pub use crate::report::{Line, Place, Verdict};

/// A Corefile and what it may import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Its text.
    pub corefile: String,
    /// Other files by their name without directories: further keys of the ConfigMap, and of `coredns-custom`.
    pub files: BTreeMap<String, String>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corefile {
    /// The settings; `None` where the text as a whole makes no sense.
    pub settings: Option<DnsSettings>,
    /// Every line that says something, in order.
    pub lines: Vec<Line>,
}

/// Reads a Corefile.
#[must_use]
pub fn read(sources: &Sources) -> Corefile {
    let mut report = Report::default();
    let settings = match parse(sources) {
        Ok(blocks) => lower(&blocks, sources, &mut report),
        Err(broken) => {
            report.add(broken.at, broken.text, Verdict::Broken { why: broken.why });
            None
        }
    };
    Corefile { settings, lines: report.into_lines() }
}

impl Corefile {
    /// The lines that are not taken as CoreDNS takes them.
    pub fn notes(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.verdict.is_note())
    }
}

fn lower(blocks: &[ServerBlock], sources: &Sources, report: &mut Report) -> Option<DnsSettings> {
    let mut taken = BTreeSet::new();
    let mut lowered: Vec<DnsBlock> = Vec::new();
    for block in blocks {
        let zones = zones::of_keys(block, &mut taken, report);
        if zones.is_empty() {
            report.skip_directives(block);
            continue;
        }
        lowered.push(plugins::lower_block(block, zones, sources, report));
    }
    plugins::kubernetes::tell_of_differences(&lowered, report);
    (!lowered.is_empty()).then_some(DnsSettings { blocks: lowered })
}

#[cfg(test)]
mod tests;
