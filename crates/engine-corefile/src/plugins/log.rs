//! `log`: which queries are written down (CoreDNS, `plugin/log/setup.go`), and, with `sample`, which is ours, how many of them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use plan::{DnsLog, LogClass};

use super::{number, only_argument, read_body, unknown};
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

pub(super) fn lower(directive: &Directive, report: &mut Report) -> Option<DnsLog> {
    let mut log = DnsLog { zones: BTreeSet::new(), classes: BTreeSet::new(), one_in: NonZeroU32::MIN };
    let outcome = read_head(&directive.head, &mut log);
    let is_taken = report.settle(&directive.head, outcome);
    let mut is_all = false;
    read_body(&directive.body, report, |line| read_line(line, &mut log, &mut is_all));
    if is_all {
        log.classes.clear();
    }
    is_taken.then_some(log)
}

fn read_head(head: &Statement, log: &mut DnsLog) -> Result<(), Verdict> {
    let (names, formats): (Vec<_>, Vec<_>) =
        head.arguments().iter().cloned().partition(|word| !word.contains('{'));
    log.zones = zones::of_arguments(&names, &BTreeSet::from([String::new()]))?;
    match formats.as_slice() {
        [] => Ok(()),
        [format] if format == "{common}" || format == "{combined}" => Ok(()),
        _ => Err(Verdict::changed("lines have the fields of the agent's log, and not this format")),
    }
}

fn read_line(line: &Statement, log: &mut DnsLog, is_all: &mut bool) -> Result<(), Verdict> {
    match line.name() {
        "class" => read_classes(line, log, is_all),
        "sample" => {
            log.one_in = number(only_argument(line)?)?;
            Err(Verdict::own("one in so many of these queries is written"))
        }
        _ => Err(unknown(line)),
    }
}

fn read_classes(line: &Statement, log: &mut DnsLog, is_all: &mut bool) -> Result<(), Verdict> {
    if line.arguments().is_empty() {
        return Err(Verdict::broken("the classes are missing"));
    }
    for class in line.arguments() {
        match class.as_str() {
            "all" => *is_all = true,
            "success" => drop(log.classes.insert(LogClass::Success)),
            "denial" => drop(log.classes.insert(LogClass::Denial)),
            "error" => drop(log.classes.insert(LogClass::Error)),
            other => return Err(Verdict::broken(format!("invalid Class: {other}"))),
        }
    }
    Ok(())
}
