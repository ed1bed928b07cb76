//! `sealane probe`: one small client for HTTP, TCP, UDP and DNS, for Pods that have no curl or dig.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::output::{Output, print_line, tell};

mod dns;
mod trust;

/// Most bytes of an answer that are kept.
const MAX_ANSWER: usize = 64 * 1024;

/// What `sealane probe` takes.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    #[command(subcommand)]
    probe: Probe,
    /// Give up after this many milliseconds.
    #[arg(long, global = true, default_value_t = 2000, value_name = "MILLISECONDS")]
    timeout: u64,
    /// Do it this many times, each with a connection of its own.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// How to print; in JSON, one object a line for each attempt.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Probe {
    /// Send an HTTP request; certificates are not checked.
    Http(HttpArgs),
    /// Open a TCP connection, send a line, and print what comes back.
    Tcp(SocketArgs),
    /// Send a UDP datagram and wait for an answer.
    Udp(SocketArgs),
    /// Ask the Pod's DNS server.
    Dns(dns::DnsArgs),
}

#[derive(Debug, Args)]
struct HttpArgs {
    /// Where to, such as http://web.shop/api.
    url: String,
    /// Method.
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// Header, such as `Host: shop.example.com`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Connect here instead of where the URL says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
    /// Body to send.
    #[arg(short, long, default_value = "")]
    data: String,
}

#[derive(Debug, Args)]
struct SocketArgs {
    /// Where to: `host:port` or `address:port`.
    target: String,
    /// What to send.
    #[arg(short, long, default_value = "hello")]
    data: String,
}

/// What one attempt showed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Observation {
    /// Whether there was an answer.
    pub(crate) ok: bool,
    /// The address that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    /// HTTP status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// HTTP `Location`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    /// Common name of the certificate that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// DNS records, or nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) records: Vec<String>,
    /// What came back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) body: String,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Runs the probe; the exit status is 0 when every attempt got an answer.
pub(crate) async fn run(args: ProbeArgs) -> Result<i32> {
    let mut failed = false;
    for _ in 0..args.count {
        let limit = Duration::from_millis(args.timeout);
        let attempt = tokio::time::timeout(limit, attempt(&args.probe)).await;
        let observation = match attempt {
            Ok(Ok(observation)) => observation,
            Ok(Err(error)) => failure(format!("{error:#}")),
            Err(_) => failure(format!("no answer within {} ms", args.timeout)),
        };
        failed |= !observation.ok;
        print(&observation, args.output)?;
    }
    Ok(i32::from(failed))
}

fn failure(error: String) -> Observation {
    Observation { error: Some(error), ..Observation::default() }
}

fn print(observation: &Observation, output: Output) -> Result<()> {
    if output == Output::Json {
        print_line(&serde_json::to_string(observation).context("cannot print the result as JSON")?);
        return Ok(());
    }
    if let Some(error) = &observation.error {
        tell(error);
    }
    if let Some(status) = observation.status {
        let location =
            observation.location.as_ref().map(|location| format!(" to {location}")).unwrap_or_default();
        tell(&format!("HTTP {status}{location}"));
    }
    observation.records.iter().for_each(print_line);
    if !observation.body.is_empty() {
        print_line(&observation.body.trim_end());
    }
    Ok(())
}

async fn attempt(probe: &Probe) -> Result<Observation> {
    match probe {
        Probe::Http(args) => http(args).await,
        Probe::Tcp(args) => tcp(args).await,
        Probe::Udp(args) => udp(args).await,
        Probe::Dns(args) => dns::query(args).await,
    }
}

async fn lookup(target: &str) -> Result<SocketAddr> {
    let mut addresses =
        tokio::net::lookup_host(target).await.with_context(|| format!("cannot resolve `{target}`"))?;
    addresses.next().ok_or_else(|| anyhow!("`{target}` has no address"))
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))
}

async fn http(args: &HttpArgs) -> Result<Observation> {
    let url: http::Uri = args.url.parse().with_context(|| format!("`{}` is not a URL", args.url))?;
    let host = url.host().ok_or_else(|| anyhow!("`{}` names no host", args.url))?;
    let is_tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("`{}` begins with neither http:// nor https://", args.url),
    };
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let address = match args.connect {
        Some(address) => address,
        None => lookup(&format!("{host}:{port}")).await?,
    };
    let stream = connect(address).await?;
    let request = request(args, &url)?;
    let mut observation = if is_tls {
        let name =
            ServerName::try_from(host.to_owned()).with_context(|| format!("`{host}` is no server name"))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(trust::anyone()?));
        let stream =
            connector.connect(name, stream).await.with_context(|| format!("no TLS with {address}"))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(trust::subject);
        Observation { certificate: shown, ..exchange(stream, request).await? }
    } else {
        exchange(stream, request).await?
    };
    observation.address = Some(address.ip());
    Ok(observation)
}

fn request(args: &HttpArgs, url: &http::Uri) -> Result<http::Request<Full<Bytes>>> {
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = http::Request::builder().method(args.method.as_str()).uri(path);
    let mut names_host = false;
    for header in &args.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| anyhow!("`{header}` is not `Name: value`"))?;
        names_host |= name.eq_ignore_ascii_case("host");
        request = request.header(name, value.trim());
    }
    if !names_host {
        request =
            request.header(http::header::HOST, url.authority().map_or("", http::uri::Authority::as_str));
    }
    let request =
        request.header(http::header::USER_AGENT, concat!("sealane-probe/", env!("CARGO_PKG_VERSION")));
    request.body(Full::from(args.data.clone())).context("the request is not valid HTTP")
}

async fn exchange<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<Observation>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("no HTTP on this connection")?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.context("no HTTP answer")?;
    let location = response.headers().get(http::header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body =
        body.map_err(|error| anyhow!("the answer broke off or is longer than {MAX_ANSWER} bytes: {error}"))?;
    driver.abort();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Ok(Observation { ok: true, status: Some(status), location, body, ..Observation::default() })
}

async fn tcp(args: &SocketArgs) -> Result<Observation> {
    let address = lookup(&args.target).await?;
    let mut stream = connect(address).await?;
    stream.write_all(args.data.as_bytes()).await.context("cannot send")?;
    stream.shutdown().await.context("cannot end sending")?;
    let mut answer = Vec::new();
    let limit = u64::try_from(MAX_ANSWER).expect("a small number");
    stream.take(limit).read_to_end(&mut answer).await.context("the answer broke off")?;
    let body = String::from_utf8_lossy(&answer).into_owned();
    Ok(Observation { ok: true, address: Some(address.ip()), body, ..Observation::default() })
}

async fn udp(args: &SocketArgs) -> Result<Observation> {
    let address = lookup(&args.target).await?;
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.context("cannot open a UDP socket")?;
    socket.connect(address).await.with_context(|| format!("cannot reach {address}"))?;
    socket.send(args.data.as_bytes()).await.with_context(|| format!("cannot send to {address}"))?;
    let mut answer = vec![0; MAX_ANSWER];
    let length = socket.recv(&mut answer).await.with_context(|| format!("{address} refused"))?;
    let body = String::from_utf8_lossy(&answer[..length]).into_owned();
    Ok(Observation { ok: true, address: Some(address.ip()), body, ..Observation::default() })
}
