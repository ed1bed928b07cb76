//! `forward`: where other names are asked (CoreDNS, `plugin/forward/setup.go`).

use std::net::{IpAddr, SocketAddr};

use plan::{DnsForward, ForwardPolicy, ForwardTransport, Upstream};

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
        "max_fails" => forward.max_fails = number(only_argument(line)?)?,
        "max_concurrent" => forward.max_concurrent = number(only_argument(line)?)?,
        "health_check" => return health_check(line, forward),
        "force_tcp" => {
            no_argument(line)?;
            forward.transport = ForwardTransport::Tcp;
        }
        "prefer_udp" => no_argument(line)?,
        "policy" => {
            forward.policy = match only_argument(line)? {
                "random" => ForwardPolicy::Random,
                "round_robin" => ForwardPolicy::RoundRobin,
                "sequential" => ForwardPolicy::Sequential,
                other => return Err(Verdict::broken(format!("unknown policy `{other}`"))),
            }
        }
        "tls_servername" => *server_name = Some(only_argument(line)?.to_owned()),
        "failover" => forward.failover.extend(failover_codes(line)?),
        "tls" if line.arguments().is_empty() => {}
        _ => return Err(of_other_line(line)),
    }
    Ok(())
}

fn health_check(line: &Statement, forward: &mut DnsForward) -> Result<(), Verdict> {
    let [interval, options @ ..] = line.arguments() else {
        return Err(Verdict::broken("the interval is missing"));
    };
    let millis = parse_millis(interval).and_then(|millis| u32::try_from(millis).ok());
    forward.health_check_millis =
        millis.ok_or_else(|| Verdict::broken(format!("`{interval}` is no duration")))?;
    match options {
        [] => Ok(()),
        _ => Err(Verdict::changed("health checks ask for the root's name servers, with recursion desired")),
    }
}

fn failover_codes(line: &Statement) -> Result<Vec<u8>, Verdict> {
    let codes = line.arguments().iter().map(|argument| match rcode(argument) {
        None => Err(Verdict::broken(format!("{argument} is not a valid rcode"))),
        Some(0) => Err(Verdict::broken("NoError cannot be used in failover")),
        Some(code) => Ok(code),
    });
    let codes = codes.collect::<Result<Vec<_>, _>>()?;
    if codes.is_empty() { Err(Verdict::broken("the response codes are missing")) } else { Ok(codes) }
}

fn of_other_line(line: &Statement) -> Verdict {
    match line.name() {
        "tls" => Verdict::changed(
            "servers are checked against the node's own certificate authorities, and get no client certificate",
        ),
        "expire" => Verdict::changed("how long an idle connection is kept is the server's own"),
        "max_connect_attempts" => Verdict::changed("how often a query is sent in all is the server's own"),
        "next" => Verdict::not_taken("a name is asked of one forward alone", ""),
        "failfast_all_unhealthy_upstreams" => {
            Verdict::changed("when all servers seem to be down, one of them is asked all the same")
        }
        _ => unknown(line),
    }
}
