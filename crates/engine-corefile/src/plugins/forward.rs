//! `forward`: where other names are asked (CoreDNS, `plugin/forward/setup.go`).

use std::net::{IpAddr, SocketAddr};

use plan::{ClientFiles, DnsForward, ForwardPolicy, ForwardTransport, Upstream};

use super::{no_argument, number, only_argument, read_body, unknown};
use crate::duration::parse_millis;
use crate::numbers::rcode;
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

/// The file with the servers of the node itself.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Port of DNS, and of DNS over TLS (RFC 7858).
const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;

pub(super) fn lower(directive: &Directive, report: &mut Report) -> Option<DnsForward> {
    let mut forward = DnsForward { to: Vec::new(), ..DnsForward::default() };
    let mut server_name = None;
    let outcome = read_head(&directive.head, &mut forward);
    let is_taken = report.settle(&directive.head, outcome);
    read_body(&directive.body, report, |line| read_line(line, &mut forward, &mut server_name));
    for upstream in &mut forward.to {
        if let (Upstream::Tls { server_name: own @ None, .. }, Some(name)) = (upstream, &server_name) {
            *own = Some(name.clone());
        }
    }
    is_taken.then_some(forward)
}

fn read_head(head: &Statement, forward: &mut DnsForward) -> Result<(), Verdict> {
    let [from, to @ ..] = head.arguments() else {
        return Err(Verdict::broken("the zone and the servers are missing"));
    };
    if to.is_empty() {
        return Err(Verdict::broken("the servers are missing"));
    }
    let zones = zones::parse(from).map_err(Verdict::broken)?;
    forward.from = zones.into_iter().next().unwrap_or_default();
    forward.to = to.iter().map(|text| upstream(text)).collect::<Result<_, _>>()?;
    Ok(())
}

fn upstream(text: &str) -> Result<Upstream, Verdict> {
    if text == RESOLV_CONF {
        return Ok(Upstream::Node);
    }
    let (transport, rest) = text.split_once("://").unwrap_or(("dns", text));
    let (host, server_name) = split_server_name(rest);
    let port = if transport == "tls" { TLS_PORT } else { PLAIN_PORT };
    let address = socket_address(&host, port).ok_or_else(|| match rest.starts_with('/') {
        true => Verdict::not_taken(
            format!("the file {rest} is in no ConfigMap"),
            format!("name the servers, or {RESOLV_CONF} for those of the node"),
        ),
        false => Verdict::broken(format!("`{text}` is not an IP address or file")),
    })?;
    match transport {
        "dns" => Ok(Upstream::Plain(address)),
        "tls" => Ok(Upstream::Tls { address, server_name }),
        other => Err(Verdict::broken(format!("`{other}` is not supported as a destination protocol"))),
    }
}

/// `9.9.9.9%dns.quad9.net:853`: the name that a server's certificate must be for stands before the port.
fn split_server_name(text: &str) -> (String, Option<String>) {
    match text.split_once('%') {
        None => (text.to_owned(), None),
        Some((host, name)) => match name.split_once(':') {
            None => (host.to_owned(), Some(name.to_owned())),
            Some((name, port)) => (format!("{host}:{port}"), Some(name.to_owned())),
        },
    }
}

fn socket_address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = || bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port));
    text.parse().ok().or_else(address)
}

fn read_line(
    line: &Statement,
    forward: &mut DnsForward,
    server_name: &mut Option<String>,
) -> Result<(), Verdict> {
    match line.name() {
        "except" => {
            if line.arguments().is_empty() {
                return Err(Verdict::broken("the zones are missing"));
            }
            for argument in line.arguments() {
                forward.except.extend(zones::parse(argument).map_err(Verdict::broken)?);
            }
        }
        "max_concurrent" => forward.max_concurrent = number(only_argument(line)?)?,
        "max_connect_attempts" => forward.max_attempts = number(only_argument(line)?)?,
        "force_tcp" => {
            no_argument(line)?;
            forward.transport = ForwardTransport::Tcp;
        }
        "prefer_udp" => no_argument(line)?,
        "expire" => forward.idle_millis = Some(millis(only_argument(line)?)?),
        "policy" => {
            forward.policy = match only_argument(line)? {
                "random" => ForwardPolicy::Random,
                "round_robin" => ForwardPolicy::RoundRobin,
                "sequential" => ForwardPolicy::Sequential,
                other => return Err(Verdict::broken(format!("unknown policy `{other}`"))),
            }
        }
        "tls_servername" => *server_name = Some(only_argument(line)?.to_owned()),
        "tls" => return tls_files(line, forward),
        _ => return read_failure_line(line, forward),
    }
    Ok(())
}

/// Lines about servers that do not answer, or not well.
fn read_failure_line(line: &Statement, forward: &mut DnsForward) -> Result<(), Verdict> {
    match line.name() {
        "max_fails" => forward.max_fails = number(only_argument(line)?)?,
        "health_check" => health_check(line, forward)?,
        "failfast_all_unhealthy_upstreams" => {
            no_argument(line)?;
            forward.fails_fast = true;
        }
        "failover" => {
            let codes = codes(line)?;
            if codes.contains(&0) {
                return Err(Verdict::broken("NoError cannot be used in failover"));
            }
            forward.failover.extend(codes);
        }
        "next" => forward.next.extend(codes(line)?),
        "next_on_nodata" => {
            no_argument(line)?;
            forward.next_on_nodata = true;
        }
        _ => return Err(of_other_line(line)),
    }
    Ok(())
}

fn millis(text: &str) -> Result<u32, Verdict> {
    let millis = parse_millis(text).and_then(|millis| u32::try_from(millis).ok());
    millis.ok_or_else(|| Verdict::broken(format!("`{text}` is no duration")))
}

/// `INTERVAL [no_rec] [domain NAME]`.
fn health_check(line: &Statement, forward: &mut DnsForward) -> Result<(), Verdict> {
    let [interval, options @ ..] = line.arguments() else {
        return Err(Verdict::broken("the interval is missing"));
    };
    forward.health_check_millis = millis(interval)?;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "no_rec" => forward.health_check_recursion = false,
            "domain" => {
                let name = options.next().ok_or_else(|| Verdict::broken("the domain is missing"))?;
                forward.health_check_name = zones::name(name).map_err(Verdict::broken)?;
            }
            other => return Err(Verdict::broken(format!("health_check: unknown option {other}"))),
        }
    }
    Ok(())
}

/// `[CERT KEY] [CA]`; CoreDNS's files are those of its Pods.
fn tls_files(line: &Statement, forward: &mut DnsForward) -> Result<(), Verdict> {
    let is_whole = |path: &String| path.starts_with('/');
    if !line.arguments().iter().all(is_whole) {
        return Err(Verdict::not_taken("it is not known below which directory", "write whole paths"));
    }
    let client = |certificate: &String, key: &String| {
        Some(ClientFiles { certificate: certificate.clone(), key: key.clone() })
    };
    (forward.tls_client, forward.tls_ca_file) = match line.arguments() {
        [] => return Ok(()),
        [ca] => (None, Some(ca.clone())),
        [certificate, key] => (client(certificate, key), None),
        [certificate, key, ca] => (client(certificate, key), Some(ca.clone())),
        _ => return Err(Verdict::broken("`tls` has at most three arguments")),
    };
    Err(Verdict::changed("the files are those of each node or Pod that this server runs on"))
}

fn codes(line: &Statement) -> Result<Vec<u8>, Verdict> {
    let code =
        |text: &String| rcode(text).ok_or_else(|| Verdict::broken(format!("{text} is not a valid rcode")));
    let codes = line.arguments().iter().map(code).collect::<Result<Vec<_>, _>>()?;
    if codes.is_empty() { Err(Verdict::broken("the response codes are missing")) } else { Ok(codes) }
}

fn of_other_line(line: &Statement) -> Verdict {
    match line.name() {
        "max_idle_conns" => {
            Verdict::Needless { why: "one connection to a server carries all queries".to_owned() }
        }
        "doh_method" => Verdict::not_taken("upstream servers are asked over DNS and DNS over TLS", ""),
        "resolver" => Verdict::not_taken("upstream servers are named by their addresses", ""),
        _ => unknown(line),
    }
}
