//! `sealane probe dns`: one question to a DNS server, and what it said.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use engine_dns::{Name, RecordType, Response, is_reply_to, query_packet};
use tokio::net::UdpSocket;

use super::Observation;

/// Most bytes of a UDP answer without EDNS (RFC 1035 section 4.2.1), with room for servers that send more.
const MAX_ANSWER: usize = 4096;

#[derive(Debug, Args)]
pub(super) struct DnsArgs {
    /// The full name to ask for; the search path is not tried.
    name: String,
    /// Type of record.
    #[arg(short, long = "type", default_value = "A")]
    kind: String,
    /// Server to ask; the first of /etc/resolv.conf if not given.
    #[arg(short, long)]
    server: Option<IpAddr>,
    /// The server's port.
    #[arg(short, long, default_value_t = 53)]
    port: u16,
}

pub(super) async fn query(args: &DnsArgs) -> Result<Observation> {
    let name = Name::parse(&args.name).map_err(|error| anyhow!("`{}` is no DNS name: {error}", args.name))?;
    let kind = RecordType::parse(&args.kind).ok_or_else(|| anyhow!("`{}` is no record type", args.kind))?;
    let server = match args.server {
        Some(server) => server,
        None => first_server().await?,
    };
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.context("cannot open a UDP socket")?;
    socket.connect((server, args.port)).await.with_context(|| format!("cannot reach {server}"))?;
    // The kernel's port is random enough for a tool that asks once; the ID only tells late answers apart.
    let id = socket.local_addr().context("the socket has no address")?.port();
    let question = query_packet(&name, kind, id);
    socket.send(&question).await.with_context(|| format!("cannot send to {server}"))?;
    let mut buffer = vec![0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await.with_context(|| format!("{server} refused"))?;
        if is_reply_to(&question, &buffer[..length]) {
            return observation(server, &args.name, &buffer[..length]);
        }
    }
}

fn observation(server: IpAddr, name: &str, packet: &[u8]) -> Result<Observation> {
    let response = Response::read(packet).ok_or_else(|| anyhow!("{server} sent a malformed answer"))?;
    match response.rcode {
        0 if response.answers.is_empty() => bail!("{name} exists and has no record of this type"),
        0 => Ok(Observation {
            ok: true,
            address: Some(server),
            records: response.answers,
            ..Observation::default()
        }),
        3 => bail!("{name} does not exist (NXDOMAIN)"),
        code => bail!("{server} answered with the error code {code}"),
    }
}

async fn first_server() -> Result<IpAddr> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.context("cannot read /etc/resolv.conf")?;
    let servers = types::ResolvConf::parse(&text).nameservers;
    servers.first().copied().ok_or_else(|| anyhow!("/etc/resolv.conf names no server"))
}
