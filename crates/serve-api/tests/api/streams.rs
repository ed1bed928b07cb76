//! Remote commands, joined containers and forwarded ports, over every carrier that clients use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kube_rs::client;
use crate::world::{Kubectl, Ran, World, target};

/// How kubectl is told which carrier to use for commands, and for ports.
const CARRIERS: [(&str, &str); 2] = [("true", "WebSocket"), ("false", "SPDY")];

fn over(command: &mut Command, websockets: &str) {
    command
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

fn run(kubectl: &Kubectl<'_>, line: &str, websockets: &str, input: &str) -> Ran {
    let mut command = kubectl.command(line);
    over(&mut command, websockets);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::from(line, child.wait_with_output().unwrap())
}

#[test]
fn commands_run_over_websockets_and_over_spdy() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("commands_run_over_websockets_and_over_spdy") else { return };
    world.running_pod("web", json!({}));
    let large = "x".repeat(1_000_000);
    for (websockets, carrier) in CARRIERS {
        let run = |line: &str, input: &str| run(&kubectl, line, websockets, input);
        assert_eq!(run("exec web -- echo a b", "").ok(), "a b\n", "{carrier}");
        assert_eq!(run("exec -i web -- cat", &large).ok(), large, "{carrier}");
        assert_eq!(run("exec -i web -- count", &large).ok(), "1000000\n", "{carrier}");
        let failed = run("exec web -- false", "");
        assert_eq!(failed.code, Some(3), "{carrier}: {}", failed.err);
        assert!(failed.err.contains("it failed"), "{carrier}: {}", failed.err);
        assert!(run("exec web -- nothing", "").fails().contains("executable file not found"), "{carrier}");
        assert_eq!(run("attach web", "").ok(), "joined main of web\n", "{carrier}");
        let joined = run("attach -i web", "typed").ok();
        assert!(joined.contains("joined main of web\n") && joined.ends_with("typed"), "{carrier}: {joined}");
        world.wait_for_conversations(0);
    }
}

#[test]
fn a_container_that_does_not_run_is_told_before_the_connection_changes() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("a_container_that_does_not_run_is_told_before_the_connection_changes")
    else {
        return;
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "i"}, {"name": "crashed", "image": "i"}]},
    });
    world.write(&target("", "pods", None, None), engine_store::Write::Create(pod));
    for websockets in ["true", "false"] {
        for line in ["exec web -c crashed -- echo x", "attach web -c crashed"] {
            let told = run(&kubectl, line, websockets, "").fails();
            // What comes over streams that are open already is told as "Internal error occurred".
            let wanted = "Error from server (BadRequest): container \"crashed\" is not running";
            assert!(told.contains(wanted), "{line} {websockets}: {told}");
        }
    }
}

#[test]
fn a_client_that_leaves_ends_its_program() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("a_client_that_leaves_ends_its_program") else { return };
    world.running_pod("web", json!({}));
    for (websockets, _) in CARRIERS {
        // The first writes more than anybody reads; the second reads nothing of what it is sent.
        for line in ["exec web -- flood", "exec -i web -- idle"] {
            let mut command = kubectl.command(line);
            over(&mut command, websockets);
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            world.wait_for_conversations(1);
            let writer = std::thread::spawn(move || {
                // It fails when kubectl ends.
                while stdin.write_all(&[b'x'; 65536]).is_ok() {}
            });
            child.kill().unwrap();
            child.wait().unwrap();
            writer.join().unwrap();
            world.wait_for_conversations(0);
        }
    }
}

/// A kubectl that forwards a port of this machine, and the port.
fn forwarding(kubectl: &Kubectl<'_>, line: &str, websockets: &str) -> (Child, u16) {
    let mut command = kubectl.command(line);
    over(&mut command, websockets);
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let port = said.split(':').nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    (child, port.unwrap_or_else(|| panic!("kubectl {line} says `{said}`")))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn read_all(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn ports_are_forwarded_tunnelled_and_over_spdy() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("ports_are_forwarded_tunnelled_and_over_spdy") else { return };
    world.running_pod("web", json!({}));
    for (websockets, carrier) in CARRIERS {
        let (mut child, port) = forwarding(&kubectl, "port-forward web :80", websockets);
        for _ in 0..3 {
            let mut stream = connect(port);
            stream.write_all(b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n").unwrap();
            let answer = read_all(&stream);
            assert!(answer.contains("I am default/web\nGET /x HTTP/1.1"), "{carrier}: {answer}");
        }
        world.wait_for_conversations(0);
        child.kill().unwrap();
        child.wait().unwrap();

        let (mut child, port) = forwarding(&kubectl, "port-forward web :7", websockets);
        let idle = connect(port);
        let counting = connect(port);
        (&counting).write_all(&vec![b'x'; 1_000_000]).unwrap();
        counting.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&counting), "1000000 bytes\n", "{carrier}: each side closes for itself");
        // The other connection is still there, and ends with kubectl.
        world.wait_for_conversations(1);
        child.kill().unwrap();
        child.wait().unwrap();
        world.wait_for_conversations(0);
        drop(idle);

        let (child, port) = forwarding(&kubectl, "port-forward web :9", websockets);
        assert_eq!(read_all(&connect(port)), "", "{carrier}");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected =
            "error forwarding port 9 to pod default/web: dial tcp4 127.0.0.1:9: connection refused";
        assert!(said.contains(expected), "{carrier}: {said}");
    }
}

#[test]
fn kube_rs_forwards_ports_over_channels() {
    let world = World::start();
    world.running_pod("web", json!({}));
    world.tokio.block_on(async {
        let api: Api<Pod> = Api::default_namespaced(client(&world).await);
        let mut forwarder = api.portforward("web", &[80, 9]).await.unwrap();
        let mut stream = forwarder.take_stream(80).unwrap();
        let refused = forwarder.take_error(9).unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n").await.unwrap();
        let read = async {
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        let text = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        assert!(text.contains("I am default/web\nGET /x HTTP/1.1"), "{text}");
        assert!(refused.await.unwrap().contains("connection refused"));
        // Every port has ended, so the server has closed the connection; kube-rs fails when it then says goodbye.
        drop((stream, forwarder));
    });
    world.wait_for_conversations(0);
}

#[test]
fn kube_rs_joins_a_container() {
    let world = World::start();
    world.running_pod("web", json!({}));
    world.tokio.block_on(async {
        let api: Api<Pod> = Api::default_namespaced(client(&world).await);
        let parameters = AttachParams::default().stdin(true).stderr(false);
        let mut joined = api.attach("web", &parameters).await.unwrap();
        let mut stdin = joined.stdin().unwrap();
        stdin.write_all(b"typed").await.unwrap();
        stdin.shutdown().await.unwrap();
        drop(stdin);
        let mut text = String::new();
        let mut stdout = joined.stdout().unwrap();
        let read = stdout.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
        assert_eq!(text, "joined main of web\ntyped");
    });
    world.wait_for_conversations(0);
}
