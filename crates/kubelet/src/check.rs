//! Sends probes and hooks: HTTP, TCP and commands, from the node as a kubelet does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use netns::Netns;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::process::{self, Launch};

/// Longest part of an answer that is looked at.
const MAX_ANSWER: u64 = 10 * 1024;

/// Sends an HTTP request from inside `from`; the failure is the kubelet's text.
///
/// # Errors
/// When nothing answers in time, or the answer is none of 200 to 399.
pub(crate) async fn http_get(
    action: &HTTPGetAction,
    container: &Container,
    pod: IpAddr,
    from: &Netns,
    limit: Duration,
) -> Result<(), String> {
    let port = port_number(&action.port, container)?;
    let host = match &action.host {
        Some(host) if !host.is_empty() => {
            host.parse().map_err(|_| format!("host \"{host}\" of the probe is not an address"))?
        }
        _ => pod,
    };
    let to = SocketAddr::new(host, port);
    if action.scheme.as_deref() == Some("HTTPS") {
        // The kubelet does not verify the certificate either; whether the port takes connections is what is left.
        return tcp_connect(to, from, limit).await;
    }
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut headers = String::new();
    let mut names_host = false;
    for header in action.http_headers.iter().flatten() {
        names_host |= header.name.eq_ignore_ascii_case("host");
        headers.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    if !names_host {
        headers.push_str(&format!("Host: {to}\r\n"));
    }
    let request = format!(
        "GET {path} HTTP/1.1\r\n{headers}User-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let asked = async {
        let mut stream = connect(to, from).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut head = stream.take(MAX_ANSWER);
        // The status line is all that counts.
        while !answer.contains(&b'\n') && head.read_buf(&mut answer).await? > 0 {}
        Ok::<_, std::io::Error>(answer)
    };
    let url = format!("http://{to}{path}");
    match timeout(limit, asked).await {
        Err(_) => Err(format!("Get \"{url}\": context deadline exceeded")),
        Ok(Err(error)) => Err(format!("Get \"{url}\": {error}")),
        Ok(Ok(answer)) => match status_code(&answer) {
            Some(200..=399) => Ok(()),
            Some(code) => Err(format!("HTTP probe failed with statuscode: {code}")),
            None => Err(format!("Get \"{url}\": the answer is not HTTP")),
        },
    }
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a port takes connections.
///
/// # Errors
/// When it does not in time.
pub(crate) async fn tcp_socket(
    action: &TCPSocketAction,
    container: &Container,
    pod: IpAddr,
    from: &Netns,
    limit: Duration,
) -> Result<(), String> {
    let port = port_number(&action.port, container)?;
    let host = action.host.as_deref().filter(|host| !host.is_empty());
    let host =
        host.map_or(Ok(pod), str::parse).map_err(|_| "host of the probe is not an address".to_owned())?;
    tcp_connect(SocketAddr::new(host, port), from, limit).await
}

async fn tcp_connect(to: SocketAddr, from: &Netns, limit: Duration) -> Result<(), String> {
    match timeout(limit, connect(to, from)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("dial tcp {to}: {error}")),
        Err(_) => Err(format!("dial tcp {to}: i/o timeout")),
    }
}

/// Connects to a port on the localhost of a namespace: over IPv4, and where nothing listens there over IPv6, as
/// container runtimes forward ports.
///
/// # Errors
/// With both reasons (containerd's text).
pub(crate) async fn localhost(port: u16, inside: &Netns) -> Result<TcpStream, String> {
    let first = match connect((Ipv4Addr::LOCALHOST, port).into(), inside).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    connect((Ipv6Addr::LOCALHOST, port).into(), inside).await.map_err(|second| {
        format!(
            "failed to connect to localhost:{port} inside namespace of the pod, IPv4: dial tcp4 127.0.0.1:{port}: \
             {first} IPv6: dial tcp6 [::1]:{port}: {second}"
        )
    })
}

/// Connects from inside a namespace.
///
/// # Errors
/// When nothing takes the connection.
pub(crate) async fn connect(to: SocketAddr, from: &Netns) -> std::io::Result<TcpStream> {
    let family = if to.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let made = netns::run_in(from, || socket2::Socket::new(family, socket2::Type::STREAM, None));
    let socket = made.map_err(std::io::Error::other)??;
    socket.set_nonblocking(true)?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("container {} has no port of that name", container.name))
}

/// Runs a command in the container.
///
/// # Errors
/// When it does not end with 0 in time; with what it wrote.
pub(crate) async fn exec(action: &ExecAction, mut launch: Launch, limit: Duration) -> Result<(), String> {
    launch.argv = action.command.clone().unwrap_or_default();
    if launch.argv.is_empty() {
        return Err("the command is empty".to_owned());
    }
    let shown = launch.argv.join(" ");
    let output = process::command(launch)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .output();
    match timeout(limit, output).await {
        Err(_) => Err(format!("command \"{shown}\" timed out")),
        Ok(Err(error)) => Err(format!("command \"{shown}\" cannot be run: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text[..text.len().min(1000)]).trim().to_owned();
            let code = process::exit_code(output.status);
            Err(if text.is_empty() { format!("command \"{shown}\" exited with {code}") } else { text })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ContainerPort;

    #[test]
    fn ports_are_numbers_or_names_of_the_container() {
        let port =
            ContainerPort { name: Some("http".into()), container_port: 8080, ..ContainerPort::default() };
        let container = Container { name: "web".into(), ports: Some(vec![port]), ..Container::default() };
        assert_eq!(port_number(&IntOrString::Int(80), &container), Ok(80));
        assert_eq!(port_number(&IntOrString::String("http".into()), &container), Ok(8080));
        assert!(port_number(&IntOrString::String("admin".into()), &container).is_err());
    }

    #[test]
    fn the_status_line_is_read() {
        assert_eq!(status_code(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(status_code(b"SSH-2.0-x\r\n"), None);
    }
}
