//! What is asked: from where to where.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use types::{NamespacedName, NodeName, PodName, Port, Protocol, ServiceName};

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The client.
    pub from: Client,
    /// What it aims at.
    pub to: Target,
    /// Port; a URL brings its own.
    pub port: Option<Port>,
    /// Protocol, TCP unless said otherwise.
    pub protocol: Protocol,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// A Pod.
    Pod(PodName),
    /// A process on a Node.
    Node(NodeName),
    /// Somebody beyond the nodes, with this address if it is known.
    Outside(Option<IpAddr>),
}

/// What is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A DNS name, as the client would write it.
    Name(String),
    /// An address.
    Address(IpAddr),
    /// A Pod's own address.
    Pod(PodName),
    /// A Service's first cluster address.
    Service(ServiceName),
    /// An HTTP URL.
    Url(Url),
}

/// The parts of an HTTP URL that decide where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub is_https: bool,
    /// Host name or address.
    pub host: String,
    /// Port, 80 or 443 unless said.
    pub port: Port,
    /// Path with query, beginning with `/`.
    pub path: String,
}

/// Why a text is not a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// No valid port after the colon.
    #[error("`{0}` is not a port: a number between 1 and 65535, inclusive")]
    Port(String),
    /// Not a URL we can follow.
    #[error("`{0}` is not a URL of the form http://host[:port]/path")]
    Url(String),
    /// Not a client.
    #[error(
        "`{0}` is not a client: a Pod (`name` or `namespace/name`), `node/name`, `outside` or an address"
    )]
    Client(String),
    /// Nothing to aim at.
    #[error(
        "`{0}` names nothing to aim at: say a URL, or a DNS name, an address, `svc/name` or `pod/name`, with `:port`"
    )]
    Target(String),
}

impl Question {
    /// Reads what a person typed; names without a namespace are in `namespace`.
    pub fn parse(from: &str, to: &str, namespace: &str) -> Result<Self, QuestionError> {
        let from = Client::parse(from, namespace)?;
        if to.contains("://") {
            let url: Url = to.parse()?;
            return Ok(Self { from, to: Target::Url(url), port: None, protocol: Protocol::Tcp });
        }
        let (to, protocol) = match to.rsplit_once('/') {
            Some((rest, word)) if word.eq_ignore_ascii_case("udp") => (rest, Protocol::Udp),
            Some((rest, word)) if word.eq_ignore_ascii_case("tcp") => (rest, Protocol::Tcp),
            Some((rest, word)) if word.eq_ignore_ascii_case("sctp") => (rest, Protocol::Sctp),
            _ => (to, Protocol::Tcp),
        };
        let (host, port) = split_port(to)?;
        Ok(Self { from, to: Target::parse(host, namespace)?, port, protocol })
    }

    /// The port asked for.
    #[must_use]
    pub fn port(&self) -> Option<Port> {
        self.to.url().map(|url| url.port).or(self.port)
    }
}

impl Client {
    fn parse(text: &str, namespace: &str) -> Result<Self, QuestionError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Outside(Some(address)));
        }
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["outside"] => Ok(Self::Outside(None)),
            ["node", name] if !name.is_empty() => Ok(Self::Node(NodeName::from(*name))),
            ["pod" | "pods", name] | [name] if !name.is_empty() => {
                Ok(Self::Pod(NamespacedName::new(namespace, *name)))
            }
            // A Namespace may be called like a kind: nothing but a Pod, a Node or an address connects to anything.
            ["pod" | "pods", namespace, name] | [namespace, name] if !name.is_empty() => {
                Ok(Self::Pod(NamespacedName::new(*namespace, *name)))
            }
            _ => Err(QuestionError::Client(text.to_owned())),
        }
    }
}

impl Target {
    fn parse(text: &str, namespace: &str) -> Result<Self, QuestionError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["pod" | "pods", name] => Ok(Self::Pod(NamespacedName::new(namespace, *name))),
            ["pod" | "pods", namespace, name] => Ok(Self::Pod(NamespacedName::new(*namespace, *name))),
            ["svc" | "service" | "services", name] => {
                Ok(Self::Service(NamespacedName::new(namespace, *name)))
            }
            ["svc" | "service" | "services", namespace, name] => {
                Ok(Self::Service(NamespacedName::new(*namespace, *name)))
            }
            [name] if !name.is_empty() => Ok(Self::Name((*name).to_owned())),
            _ => Err(QuestionError::Target(text.to_owned())),
        }
    }

    /// The URL, when it is one.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Url(url) => Some(url),
            _ => None,
        }
    }
}

/// `host:port`, `[address]:port`, or a host alone.
fn split_port(text: &str) -> Result<(&str, Option<Port>), QuestionError> {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Ok((address, rest.strip_prefix(':').map(parse_port).transpose()?));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(parse_port(port)?))),
        _ => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<Port, QuestionError> {
    let number = text.parse::<u16>().ok();
    number.and_then(Port::new).ok_or_else(|| QuestionError::Port(text.to_owned()))
}

impl FromStr for Url {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || QuestionError::Url(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let is_https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(wrong());
        }
        let default = Port::new(if is_https { 443 } else { 80 }).expect("a number above 0");
        Ok(Self {
            is_https,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(default),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "Pod {name}"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::Outside(Some(address)) => write!(f, "{address}"),
            Self::Outside(None) => f.write_str("outside"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
            Self::Pod(name) => write!(f, "Pod {name}"),
            Self::Service(name) => write!(f, "Service {name}"),
            Self::Url(url) => {
                let scheme = if url.is_https { "https" } else { "http" };
                write!(f, "{scheme}://{}:{}{}", url.host, url.port, url.path)
            }
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to.url(), self.port) {
            (None, Some(port)) => write!(f, "{} → {} port {port}/{}", self.from, self.to, self.protocol),
            _ => write!(f, "{} → {}", self.from, self.to),
        }
    }
}
