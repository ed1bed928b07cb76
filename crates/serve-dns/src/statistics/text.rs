//! Counts as Prometheus reads them, under the names and labels of CoreDNS 1.14 (its plugins metrics, cache, forward and
//! `plugin/pkg/proxy`), so that dashboards and alerts made for it go on working.

use std::fmt::{Display, Write};

use engine_dns::CacheCounts;

use super::{BUCKETS, FIRST_BUCKET_MICROS, Histogram, RCODES, Statistics, TYPES, UpstreamStatistics};

/// The labels that every metric of a server has. Queries are not told apart by server block.
const SERVER: &str = r#"server="dns://:53",view="""#;
/// The plugins of CoreDNS that would have answered, in the order of [`super::Source`].
const PLUGINS: [&str; 3] = ["kubernetes", "cache", "forward"];
const PROTOCOLS: [&str; 2] = ["udp", "tcp"];
/// CoreDNS's numbers for IPv4 and IPv6.
const FAMILIES: [&str; 2] = ["1", "2"];

/// A page in the making.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // OpenMetrics 1.0, "Counter": the suffix is the sample's, not the metric's.
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.line(format_args!("# HELP {name} {help}."));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn value(&mut self, name: &str, labels: impl Display, value: impl Display) {
        self.line(format_args!("{name}{{{labels}}} {value}"));
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let mut sum = 0;
        for (bucket, count) in histogram.buckets.iter().enumerate() {
            sum += count;
            let bound = match bucket {
                BUCKETS => "+Inf".to_owned(),
                _ => format!("{}", (FIRST_BUCKET_MICROS << bucket) as f64 / 1e6),
            };
            self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {sum}"));
        }
        self.line(format_args!("{name}_sum{{{labels}}} {}", histogram.nanos as f64 / 1e9));
        self.line(format_args!("{name}_count{{{labels}}} {}", histogram.count()));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").expect("writing to a String cannot fail");
    }
}

/// Writes everything.
pub(super) fn write(statistics: &Statistics) -> String {
    let mut page = Page(String::new());
    write_queries(&mut page, statistics);
    write_caches(&mut page, &statistics.caches);
    write_forwards(&mut page, statistics);
    write_log(&mut page, statistics);
    page.0
}

fn write_queries(page: &mut Page, statistics: &Statistics) {
    let name = "coredns_dns_requests_total";
    page.head(name, "counter", "Counter of DNS requests made per zone, protocol and family");
    for (protocol, families) in PROTOCOLS.iter().zip(&statistics.requests) {
        for (family, types) in FAMILIES.iter().zip(families) {
            let names = TYPES.iter().map(|(_, name)| *name).chain(["other"]);
            for (kind, count) in names.zip(types).filter(|(_, count)| **count > 0) {
                let labels =
                    format!(r#"{SERVER},zone=".",proto="{protocol}",family="{family}",type="{kind}""#);
                page.value(name, labels, count);
            }
        }
    }
    let name = "coredns_dns_responses_total";
    page.head(name, "counter", "Counter of response status codes");
    for (plugin, rcodes) in PLUGINS.iter().zip(&statistics.responses) {
        for (rcode, count) in RCODES.iter().zip(rcodes).filter(|(_, count)| **count > 0) {
            page.value(name, format!(r#"{SERVER},zone=".",rcode="{rcode}",plugin="{plugin}""#), count);
        }
    }
    let name = "coredns_dns_request_duration_seconds";
    page.head(name, "histogram", "Histogram of the time (in seconds) each request took per zone");
    page.histogram(name, &format!(r#"{SERVER},zone=".""#), &statistics.durations);
}

fn write_log(page: &mut Page, statistics: &Statistics) {
    for (name, help, value) in [
        ("sealane_dns_logged_queries_total", "Queries written to the log", statistics.logged),
        (
            "sealane_dns_log_lost_queries_total",
            "Queries that were to be written to the log and found no room",
            statistics.log_lost,
        ),
    ] {
        page.head(name, "counter", help);
        page.line(format_args!("{name} {value}"));
    }
}

/// One metric of a cache: its name, its type, its label for a kind of reply, its help and its value.
type CacheMetric = (&'static str, &'static str, Option<&'static str>, &'static str, fn(&CacheCounts) -> u64);

const CACHE_METRICS: [CacheMetric; 11] = [
    ("entries", "gauge", Some("success"), "The number of elements in the cache", |c| c.success_entries),
    ("entries", "gauge", Some("denial"), "", |c| c.denial_entries),
    ("requests_total", "counter", None, "The count of cache requests", |c| c.requests),
    ("hits_total", "counter", Some("success"), "The count of cache hits", |c| c.success_hits),
    ("hits_total", "counter", Some("denial"), "", |c| c.denial_hits),
    ("misses_total", "counter", None, "The count of cache misses", |c| c.misses),
    ("prefetch_total", "counter", None, "Cached items asked anew before their end", |c| c.prefetches),
    ("drops_total", "counter", None, "Responses not cached for being malformed", |c| c.drops),
    ("served_stale_total", "counter", None, "Requests served from stale cache entries", |c| c.stale),
    ("evictions_total", "counter", Some("success"), "The count of evictions", |c| c.success_evictions),
    ("evictions_total", "counter", Some("denial"), "", |c| c.denial_evictions),
];

fn write_caches(page: &mut Page, caches: &[(String, CacheCounts)]) {
    for (name, kind, label, help, value) in CACHE_METRICS {
        let name = format!("coredns_cache_{name}");
        if !help.is_empty() {
            page.head(&name, kind, help);
        }
        let label = label.map(|label| format!(r#",type="{label}""#)).unwrap_or_default();
        for (zones, counts) in caches {
            let zones = zone_label(zones);
            page.value(&name, format!(r#"{SERVER},zones="{zones}"{label}"#), value(counts));
        }
    }
}

/// Zones as CoreDNS writes them, with final dots.
fn zone_label(zones: &str) -> String {
    zones.split(',').map(|zone| format!("{zone}.")).collect::<Vec<_>>().join(",")
}

fn write_forwards(page: &mut Page, statistics: &Statistics) {
    for (name, help, value) in [
        (
            "coredns_forward_healthcheck_broken_total",
            "Counter of the number of complete failures of the healthchecks",
            statistics.broken_health_checks,
        ),
        (
            "coredns_forward_max_concurrent_rejects_total",
            "Counter of the number of queries rejected because the concurrent queries were at maximum",
            statistics.rejects,
        ),
        (
            "sealane_dns_joined_queries_total",
            "Queries that waited for what others had asked already",
            statistics.joined,
        ),
    ] {
        page.head(name, "counter", help);
        page.line(format_args!("{name} {value}"));
    }
    let name = "coredns_proxy_request_duration_seconds";
    page.head(name, "histogram", "Histogram of the time each request took");
    for server in &statistics.upstreams {
        for (rcode, histogram) in &server.replies {
            let rcode = RCODES[usize::from(*rcode & 15)];
            page.histogram(name, &format!(r#"{},rcode="{rcode}""#, server_labels(server)), histogram);
        }
    }
    let name = "coredns_proxy_healthcheck_failures_total";
    page.head(name, "counter", "Counter of the number of failed healthchecks");
    for server in &statistics.upstreams {
        page.value(name, server_labels(server), server.failed_checks);
    }
    let name = "coredns_proxy_conn_cache_hits_total";
    page.head(name, "counter", "Counter of connection cache hits per upstream and protocol");
    for server in &statistics.upstreams {
        page.value(name, line_labels(server), server.line_hits);
    }
    let name = "coredns_proxy_conn_cache_misses_total";
    page.head(name, "counter", "Counter of connection cache misses per upstream and protocol");
    for server in &statistics.upstreams {
        page.value(name, line_labels(server), server.line_misses);
        page.value(name, format!(r#"{},proto="udp""#, server_labels(server)), server.datagrams);
    }
    let name = "sealane_dns_upstream_loop";
    page.head(name, "gauge", "1 while what an upstream server is asked comes back");
    for server in &statistics.upstreams {
        page.value(name, server_labels(server), u8::from(server.leads_back));
    }
    let name = "sealane_dns_upstream_down";
    page.head(name, "gauge", "1 while an upstream server is passed over");
    for server in &statistics.upstreams {
        page.value(name, server_labels(server), u8::from(server.is_down));
    }
}

/// Two forwards may have the same server, so the zone is told, too.
fn server_labels(server: &UpstreamStatistics) -> String {
    format!(r#"proxy_name="forward",to="{}",zone="{}.""#, server.address, server.zone)
}

fn line_labels(server: &UpstreamStatistics) -> String {
    let protocol = if server.is_tls { "tcp-tls" } else { "tcp" };
    format!(r#"{},proto="{protocol}""#, server_labels(server))
}
