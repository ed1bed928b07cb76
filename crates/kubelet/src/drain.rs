//! Waits until no node sends a Pod new connections: its agent says so once a plan without it is in force.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use types::PodName;

/// First and longest pause between two looks at one node.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long anybody waits: an agent may be away for good.
const LIMIT: Duration = Duration::from_secs(30);

/// Completes when none of the agents knows the Pod as an endpoint that is to get new connections.
pub(crate) async fn drained(agents: &[SocketAddr], pod: &PodName) {
    let all = join_all(agents.iter().map(|agent| left(*agent, pod)));
    // Whoever waits has lost patience long before.
    let _ = timeout(LIMIT, all).await;
}

async fn left(agent: SocketAddr, pod: &PodName) {
    let mut pause = PAUSES.0;
    // What an agent that is away has put into its kernel is there still.
    while !matches!(timeout(ANSWER_LIMIT, ask(agent, pod)).await, Ok(Ok(404))) {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The status code of the agent's answer.
async fn ask(agent: SocketAddr, pod: &PodName) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(agent).await?;
    let path = format!("/endpoints/{}/{}", pod.namespace, pod.name);
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; "HTTP/1.1 404".len()];
    stream.read_exact(&mut line).await?;
    let code = std::str::from_utf8(&line[9..]).ok().and_then(|code| code.parse().ok());
    code.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn every_agent_is_asked_until_it_has_let_the_pod_go() {
        let mut agents = Vec::new();
        for answers in [vec![404], vec![200, 200, 404]] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            agents.push(listener.local_addr().unwrap());
            tokio::spawn(async move {
                for code in answers {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut request = [0; 256];
                    let length = stream.read(&mut request).await.unwrap();
                    assert!(request[..length].starts_with(b"GET /endpoints/shop/web-1 HTTP/1.1\r\n"));
                    stream.write_all(format!("HTTP/1.1 {code} \r\n\r\n").as_bytes()).await.unwrap();
                }
            });
        }
        drained(&agents, &PodName::new("shop", "web-1")).await;
        assert!(TcpStream::connect(agents[1]).await.is_err(), "all answers were asked for");
    }
}
