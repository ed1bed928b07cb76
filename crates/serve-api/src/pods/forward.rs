//! `pods/NAME/portforward`: connections to ports inside a Pod.
//!
//! Over SPDY, plain or tunnelled through a WebSocket, every connection is a pair of streams that the client opens;
//! over WebSocket channels every port is one connection, a pair of channels that are open from the start.

use std::collections::BTreeMap;
use std::io;

use bytes::{Bytes, BytesMut};
use engine_store::Status;
use engine_streams::channel::Version;
use engine_streams::spdy::ResetCode;
use futures_util::future::join_all;
use hyper::upgrade::Upgraded;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use types::NamespacedName;

use super::upgrade::{self, Kind};
use super::wire::{Inlet, Input, Outlet};
use super::{Opening, Surroundings, spdy, websocket};
use crate::query::Query;
use crate::runtime::ByteStream;

/// The only subprotocol over SPDY (kubelet `portforward.ProtocolV1Name`).
const SPDY_PROTOCOL: &str = "portforward.k8s.io";
/// SPDY inside a WebSocket (apimachinery `portforward.WebsocketsSPDYTunnelingPortForwardV1`, KEP-4006).
const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Over WebSockets: a tunnel where the client can, else channels. Version 4 comes first: a real kubelet knows no
/// other for ports, and clients that offer both do not expect channels to be closed one by one.
const WEBSOCKET_PROTOCOLS: [&str; 3] = [TUNNEL_PROTOCOL, "v4.channel.k8s.io", "v5.channel.k8s.io"];
/// Most ports of one connection: each has two of 255 channels.
const MAX_PORTS: usize = 127;
/// Size of the pieces a Pod's bytes are sent in.
const CHUNK: usize = 32 * 1024;

/// Ports whose connection is about to open.
pub(crate) struct Forward {
    pod: NamespacedName,
    carrier: Carrier,
}

enum Carrier {
    Spdy,
    Tunnel,
    Channels(Version, Vec<u16>),
}

/// Judges a request to reach ports inside a Pod.
pub(crate) fn forward(
    name: NamespacedName,
    pod: &Value,
    query: &Query,
    head: &http::request::Parts,
) -> Result<Opening<Forward>, Status> {
    super::assigned(pod)?;
    let (carrier, answer) = match upgrade::wanted(head)? {
        Kind::Spdy => match upgrade::spdy(&head.headers, &[SPDY_PROTOCOL]) {
            Ok((_, answer)) => (Carrier::Spdy, answer),
            Err(refusal) => return Ok(Opening::Refused(*refusal)),
        },
        Kind::WebSocket => {
            let (protocol, answer) = upgrade::websocket(&head.headers, &WEBSOCKET_PROTOCOLS)?;
            let carrier = match protocol {
                TUNNEL_PROTOCOL => Carrier::Tunnel,
                "v5.channel.k8s.io" => Carrier::Channels(Version::V5, ports(query)?),
                _ => Carrier::Channels(Version::V4, ports(query)?),
            };
            (carrier, answer)
        }
    };
    Ok(Opening::Opens(answer, Forward { pod: name, carrier }))
}

/// The ports of `?ports=80,81&ports=82`, with the kubelet's texts for wrong ones.
fn ports(query: &Query) -> Result<Vec<u16>, Status> {
    let texts = query.all("ports");
    if texts.is_empty() {
        return Err(Status::bad_request("query parameter \"ports\" is required"));
    }
    let mut ports = Vec::new();
    for text in &texts {
        if text.is_empty() {
            return Err(Status::bad_request("query parameter \"ports\" cannot be empty"));
        }
        for part in text.split(',') {
            ports.push(port(part).map_err(Status::bad_request)?);
        }
    }
    if ports.len() > MAX_PORTS {
        return Err(Status::bad_request(format!("at most {MAX_PORTS} ports are forwarded at once")));
    }
    Ok(ports)
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err(format!("port \"{text}\" must be > 0")),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("unable to parse \"{text}\" as a port: it is no number from 1 to 65535")),
    }
}

impl Forward {
    /// Forwards until the client leaves, or every connection has ended.
    pub(crate) async fn run(self, upgraded: Upgraded, around: Surroundings) {
        let pod = self.pod;
        match self.carrier {
            Carrier::Spdy => over_spdy(pod, spdy::connect(spdy::plain(upgraded)), around).await,
            Carrier::Tunnel => over_spdy(pod, spdy::connect(spdy::tunnelled(upgraded).await), around).await,
            Carrier::Channels(version, ports) => over_channels(pod, upgraded, version, ports, around).await,
        }
    }
}

async fn over_channels(
    pod: NamespacedName,
    upgraded: Upgraded,
    version: Version,
    ports: Vec<u16>,
    around: Surroundings,
) {
    let numbers: Vec<u8> = (0..=u8::MAX).step_by(2).take(ports.len()).collect();
    let mut channels = websocket::channels(upgraded, version, &numbers).await;
    let end = if version == Version::V5 { End::WithBoth } else { End::WithPod };
    let mut connections = Vec::new();
    for (port, number) in ports.into_iter().zip(numbers) {
        let Some(inlet) = channels.inlet(number) else { continue };
        let (outlet, error) = (channels.outlet(number), channels.outlet(number + 1));
        let (pod, around) = (pod.clone(), around.clone());
        connections.push(async move {
            // Each channel starts with its port, so that a client can tell them apart.
            let tag = Bytes::copy_from_slice(&port.to_le_bytes());
            let tagged = async {
                outlet.send(tag.clone()).await?;
                error.send(tag).await
            };
            if tagged.await.is_ok() {
                connection(&around, &pod, port, Pair { inlet, outlet, error }, end).await;
            }
        });
    }
    let wire = channels.into_wire();
    tokio::select! {
        () = around.closing.cancelled() => return,
        () = wire.gone.cancelled() => return,
        _ = join_all(connections) => {}
    }
    wire.close().await;
}

async fn over_spdy(pod: NamespacedName, mut streams: spdy::Connection, around: Surroundings) {
    // Connections end when this is dropped.
    let mut connections = JoinSet::new();
    let mut pairs = Pairs::default();
    loop {
        let opened = tokio::select! {
            () = around.closing.cancelled() => return,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            opened = streams.next() => opened,
        };
        let Some(opened) = opened else { return };
        match pairs.take(opened).await {
            Some((port, pair)) => {
                let (pod, around) = (pod.clone(), around.clone());
                connections.spawn(async move { connection(&around, &pod, port, pair, End::WithBoth).await });
            }
            None => continue,
        }
    }
}

/// Streams whose partner has not been opened yet, by request.
#[derive(Default)]
struct Pairs {
    waiting: BTreeMap<String, (Role, spdy::Opened)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Error,
}

impl Pairs {
    /// Takes a stream in; the pair it completes, if it does. A stream that is none of a pair is refused.
    async fn take(&mut self, opened: spdy::Opened) -> Option<(u16, Pair)> {
        let role = match opened.headers.first("streamtype") {
            Some("data") => Role::Data,
            Some("error") => Role::Error,
            _ => return refuse(opened).await,
        };
        let Some(port) = opened.headers.first("port").and_then(|text| port(text).ok()) else {
            return refuse(opened).await;
        };
        let request = match opened.headers.first("requestid") {
            Some(request) => request.to_owned(),
            // Clients that number no requests open the error stream and then the data stream (kubelet
            // `httpStreamHandler.requestID`).
            None if role == Role::Error => opened.id.to_string(),
            None => opened.id.saturating_sub(2).to_string(),
        };
        opened.outlet.accept().await.ok()?;
        let Some((other, first)) = self.waiting.remove(&request) else {
            self.waiting.insert(request, (role, opened));
            return None;
        };
        if other == role {
            first.outlet.reset(ResetCode::PROTOCOL_ERROR).await;
            return refuse(opened).await;
        }
        let (data, error) = if role == Role::Data { (opened, first) } else { (first, opened) };
        Some((port, Pair { inlet: data.inlet, outlet: data.outlet, error: error.outlet }))
    }
}

async fn refuse(opened: spdy::Opened) -> Option<(u16, Pair)> {
    opened.outlet.reset(ResetCode::PROTOCOL_ERROR).await;
    None
}

/// The client's end of one connection.
struct Pair {
    inlet: Inlet,
    outlet: Outlet,
    error: Outlet,
}

/// When a connection is over after the Pod has closed its side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At once: the client has no way to close its own.
    WithPod,
    /// When the client has closed its side, too.
    WithBoth,
}

async fn connection(around: &Surroundings, pod: &NamespacedName, port: u16, client: Pair, end: End) {
    let Pair { inlet, outlet, error } = client;
    match around.runtime.dial(pod.clone(), port).await {
        Ok(stream) => carry(stream, Pair { inlet, outlet, error }, end).await,
        Err(reason) => {
            error.conclude(format!("error forwarding port {port} to pod {pod}: {reason}")).await;
            outlet.finish().await;
        }
    }
}

/// Carries both directions. A broken direction ends both.
async fn carry(stream: ByteStream, client: Pair, end: End) {
    let Pair { inlet, outlet, error } = client;
    let (from_pod, to_pod) = tokio::io::split(stream);
    let mut incoming = std::pin::pin!(carry_in(inlet, to_pod));
    let carried = tokio::select! {
        carried = carry_out(from_pod, &outlet) => Some(carried),
        // The client has given the connection up.
        Left = &mut incoming => None,
    };
    let is_whole = matches!(carried, Some(Ok(())));
    if is_whole {
        outlet.finish().await
    } else {
        outlet.reset(ResetCode::CANCEL).await
    }
    // Clients wait for the end of this stream before they close their side.
    error.finish().await;
    if is_whole && end == End::WithBoth {
        incoming.await;
    }
}

/// Sends what comes out of the Pod, to its end.
async fn carry_out(mut from_pod: ReadHalf<ByteStream>, outlet: &Outlet) -> io::Result<()> {
    loop {
        let mut piece = BytesMut::with_capacity(CHUNK);
        if from_pod.read_buf(&mut piece).await? == 0 {
            return Ok(());
        }
        outlet.send(piece.freeze()).await?;
    }
}

/// The client has ended a connection in both directions, or the Pod no longer takes what it sends.
struct Left;

/// Hands what the client sends to the Pod, and the end of it.
async fn carry_in(mut inlet: Inlet, mut to_pod: WriteHalf<ByteStream>) -> Left {
    while let Some(input) = inlet.recv().await {
        let handed = match input {
            Input::Bytes(bytes) => to_pod.write_all(&bytes).await,
            Input::Finished => to_pod.shutdown().await,
        };
        if handed.is_err() {
            break;
        }
    }
    Left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_the_kubelet_does() {
        let read = |text| ports(&Query::parse(text)).map_err(|status| status.message);
        assert_eq!(read("ports=80,81&ports=82"), Ok(vec![80, 81, 82]));
        assert_eq!(read(""), Err("query parameter \"ports\" is required".to_owned()));
        assert_eq!(read("ports="), Err("query parameter \"ports\" cannot be empty".to_owned()));
        assert_eq!(read("ports=0"), Err("port \"0\" must be > 0".to_owned()));
        assert!(read("ports=70000").unwrap_err().contains("unable to parse \"70000\" as a port"));
        assert!(read(&format!("ports={}", vec!["80"; 128].join(","))).is_err());
    }
}
