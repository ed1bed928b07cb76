//! `cache`: how long replies of upstream servers are kept (CoreDNS, `plugin/cache/setup.go`).

use std::collections::BTreeSet;

use plan::{CacheLimits, DnsCache, Prefetch};

use super::{Context, no_argument, number, only_argument, read_body, unknown};
use crate::duration::parse_seconds;
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

/// What CoreDNS keeps where nothing is said: so many replies, so long, in seconds.
const CAPACITY: u32 = 9984;
const SUCCESS_SECONDS: u32 = 3600;
const DENIAL_SECONDS: u32 = 1800;
const SHORTEST_SECONDS: u32 = 5;
const FAILURE_SECONDS: u32 = 5;
/// The longest that a failure may be kept, in seconds.
const LONGEST_FAILURE: u32 = 300;
/// `serve_stale` without a duration, in seconds.
const STALE_SECONDS: u32 = 3600;

pub(super) fn lower(directive: &Directive, context: &Context<'_>, report: &mut Report) -> Option<DnsCache> {
    let limits = |max_ttl_seconds| CacheLimits {
        capacity: CAPACITY,
        max_ttl_seconds,
        min_ttl_seconds: SHORTEST_SECONDS,
    };
    let mut cache = DnsCache {
        zones: BTreeSet::new(),
        no_success: BTreeSet::new(),
        no_denial: BTreeSet::new(),
        keep_ttl: false,
        success: limits(SUCCESS_SECONDS),
        denial: limits(DENIAL_SECONDS),
        failure_seconds: FAILURE_SECONDS,
        prefetch: None,
        stale_seconds: 0,
        stale_at_once: false,
    };
    let outcome = read_head(&directive.head, context, &mut cache);
    let is_taken = report.settle(&directive.head, outcome);
    read_body(&directive.body, report, |line| read_line(line, &mut cache));
    is_taken.then_some(cache)
}

fn read_head(head: &Statement, context: &Context<'_>, cache: &mut DnsCache) -> Result<(), Verdict> {
    let mut arguments = head.arguments();
    if let [first, rest @ ..] = arguments
        && let Ok(seconds) = first.parse::<i64>()
    {
        cache.success.max_ttl_seconds = positive(seconds)?;
        cache.denial.max_ttl_seconds = positive(seconds)?;
        arguments = rest;
    }
    cache.zones = zones::of_arguments(arguments, context.zones)?;
    Ok(())
}

fn positive(seconds: i64) -> Result<u32, Verdict> {
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| Verdict::broken("a time to live is a positive number of seconds"))
}

fn read_line(line: &Statement, cache: &mut DnsCache) -> Result<(), Verdict> {
    match line.name() {
        "success" => read_limits(line, &mut cache.success),
        "denial" => read_limits(line, &mut cache.denial),
        "prefetch" => {
            let prefetch = read_prefetch(line)?;
            cache.prefetch = (prefetch.amount > 0).then_some(prefetch);
            Ok(())
        }
        "serve_stale" => read_stale(line, cache),
        "servfail" => {
            let seconds = seconds(only_argument(line)?)?;
            if seconds > LONGEST_FAILURE {
                return Err(Verdict::broken("caching SERVFAIL responses over 5 minutes is not permitted"));
            }
            cache.failure_seconds = seconds;
            Ok(())
        }
        "disable" => disable(line, cache),
        "keepttl" => {
            no_argument(line)?;
            cache.keep_ttl = true;
            Ok(())
        }
        _ => Err(unknown(line)),
    }
}

fn seconds(text: &str) -> Result<u32, Verdict> {
    parse_seconds(text).ok_or_else(|| Verdict::broken(format!("`{text}` is no duration")))
}

/// `CAPACITY [TTL [MINTTL]]`.
fn read_limits(line: &Statement, limits: &mut CacheLimits) -> Result<(), Verdict> {
    let [capacity, ttls @ ..] = line.arguments() else {
        return Err(Verdict::broken("the capacity is missing"));
    };
    limits.capacity = number(capacity)?;
    if let Some(max) = ttls.first() {
        limits.max_ttl_seconds = positive(number(max)?)?;
    }
    if let Some(min) = ttls.get(1) {
        limits.min_ttl_seconds = number(min)?;
    }
    Ok(())
}

/// `AMOUNT [DURATION [PERCENT%]]`.
fn read_prefetch(line: &Statement) -> Result<Prefetch, Verdict> {
    let arguments = line.arguments();
    let [amount, rest @ ..] = arguments else { return Err(Verdict::broken("the amount is missing")) };
    let mut prefetch = Prefetch { amount: number(amount)?, pause_seconds: 60, percent: 10 };
    if let Some(pause) = rest.first() {
        prefetch.pause_seconds = seconds(pause)?;
    }
    if let Some(percent) = rest.get(1) {
        let percent =
            percent.strip_suffix('%').ok_or_else(|| Verdict::broken("the percentage has no `%`"))?;
        prefetch.percent = number(percent)?;
        if !(10..=90).contains(&prefetch.percent) {
            return Err(Verdict::broken("percentage should fall in range [10, 90]"));
        }
    }
    Ok(prefetch)
}

/// `[DURATION [immediate|verify]]`.
fn read_stale(line: &Statement, cache: &mut DnsCache) -> Result<(), Verdict> {
    let arguments = line.arguments();
    cache.stale_seconds = arguments.first().map_or(Ok(STALE_SECONDS), |text| seconds(text))?;
    cache.stale_at_once = match arguments.get(1).map(|mode| mode.to_ascii_lowercase()).as_deref() {
        None | Some("immediate") => true,
        Some("verify") => false,
        Some(other) => {
            return Err(Verdict::broken(format!("invalid value for serve_stale refresh mode: {other}")));
        }
    };
    Ok(())
}

/// `success|denial [ZONES...]`; of two such lines, the second counts.
fn disable(line: &Statement, cache: &mut DnsCache) -> Result<(), Verdict> {
    let [what, zones @ ..] = line.arguments() else {
        return Err(Verdict::broken("what is not kept is missing: success or denial"));
    };
    let disabled = match what.as_str() {
        "success" => &mut cache.no_success,
        "denial" => &mut cache.no_denial,
        _ => return Err(Verdict::broken("cache type for disable must be \"success\" or \"denial\"")),
    };
    *disabled = zones::of_arguments(zones, &BTreeSet::from([String::new()]))?;
    Ok(())
}
