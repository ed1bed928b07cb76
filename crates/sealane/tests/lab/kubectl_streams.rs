//! An unmodified kubectl talks to programs and ports inside Pods: exec, attach, cp, port-forward, over every carrier,
//! and reaches Pods and Services through the API.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bed::Bed;
use crate::kubectl::{self, Kubectl};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec: {containers: [{name: web, image: 'web:1', ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: main, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: idle, namespace: default}
spec: {selector: {app: none}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: default}
spec: {hostNetwork: true, containers: [{name: web, image: 'web:1', ports: [{containerPort: 8088}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: default}
spec:
  containers:
  - {name: c, image: busybox, stdin: true, command: [sh, -c, 'while read line; do echo got $line; done; echo end >&2; sleep 3600']}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: default}
spec:
  containers:
  - {name: c, image: busybox, stdin: true, tty: true, command: [sh]}
";

/// What is typed in a terminal: the size comes to it a moment after its program has started.
const SIZED: &str =
    "tty; n=0; until stty size | grep 77 || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done; exit\n";

/// How kubectl is told which carrier to use.
const CARRIERS: [(&str, &str); 2] = [("true", "WebSocket"), ("false", "SPDY")];

fn over(command: &mut Command, websockets: &str) {
    command
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// A started kubectl, ended with this value.
struct Started(Child);

impl Started {
    fn new(kubectl: &Kubectl, line: &str, websockets: &str) -> Self {
        let mut command = kubectl.command(line);
        over(&mut command, websockets);
        Self(command.spawn().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        // What comes after the line is left for the next look.
        let mut byte = [0];
        while !line.ends_with('\n') && stdout.read(&mut byte).unwrap() == 1 {
            line.push(byte[0].into());
        }
        line
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs kubectl with a terminal of its own, which `script` makes; types these lines, and reads to the end.
fn with_terminal(kubectl: &Kubectl, line: &str, websockets: &str, typed: &str) -> String {
    let inner = kubectl.command(line);
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut command = Command::new("script");
    // The size that the program in the Pod has to see.
    let line = format!("stty rows 33 cols 77; exec {}", words.join(" "));
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    over(&mut command, websockets);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A lab with the Pods above, all ready.
fn ready(kubectl: &Kubectl) {
    kubectl.run_with("apply -f -", PODS).ok();
    kubectl.ok("wait --for=condition=Ready pod/web pod/host pod/reader pod/shell --timeout=60s");
}

#[test]
fn exec_attach_and_cp_work_in_every_pod() {
    let Some((cluster, kubectl)) =
        kubectl::open("exec_attach_and_cp_work_in_every_pod", "streams", &["--nodes", "1"])
    else {
        return;
    };
    ready(&kubectl);
    for (websockets, carrier) in CARRIERS {
        let mut reader = Started::new(&kubectl, "attach -i reader", websockets);
        let mut watching = Started::new(&kubectl, "attach reader", websockets);
        let mut stdin = reader.0.stdin.take().unwrap();
        let typing = std::thread::spawn(move || while stdin.write_all(b"hello\n").is_ok() {});
        for client in [&mut reader, &mut watching] {
            // It may have joined in the middle of a line.
            client.line();
            assert_eq!(client.line(), "got hello\n", "{carrier}");
        }
        drop((reader, watching));
        typing.join().unwrap();

        let shown = with_terminal(&kubectl, "exec -it reader -- sh", websockets, SIZED);
        assert!(shown.contains("33 77"), "{carrier}: {shown}");
        assert!(shown.contains("/dev/pts/"), "{carrier}: {shown}");
        copy(&cluster.bed, &kubectl, websockets);
    }
    let joined = with_terminal(&kubectl, "attach -it shell", "true", SIZED);
    assert!(joined.contains("33 77"), "{joined}");
    let run = "run once --image=busybox --restart=Never -i --rm -q --command -- sh -c 'read line; echo said $line; exit 4'";
    let ran = kubectl.run_with(run, "a word\n");
    assert!(ran.out.contains("said a word"), "{ran:?}");
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let debug = "debug web -i -q --image=busybox --container=debugger -- sh -c 'read line; echo said $line at $(hostname)'";
    let ran = kubectl.run_with(debug, "a word\n");
    assert!(ran.out.contains("said a word at web"), "{ran:?}");
    let ended = "get pod web -o jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    cluster.wait("the debugger's end is told", || (kubectl.ok(ended) == "0").then_some(()));
    // A stand-in says on its console what it is asked.
    let mut visitor = Started::new(&kubectl, "attach web", "true");
    let address = kubectl.ok("get pod web -o jsonpath={.status.podIP}");
    let visits = std::thread::scope(|scope| {
        let seen = scope.spawn(|| visitor.line());
        while !seen.is_finished() {
            kubectl.ok(&format!("exec reader -- sealane probe http http://{address}:8080/"));
        }
        seen.join().unwrap()
    });
    assert!(visits.contains("GET /"), "{visits}");
}

/// Copies a folder into a Pod and back.
fn copy(bed: &Bed, kubectl: &Kubectl, websockets: &str) {
    let (from, to) = (bed.dir.join("from"), bed.dir.join(format!("to-{websockets}")));
    std::fs::create_dir_all(from.join("deep")).unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    std::fs::write(from.join("deep/large"), &large).unwrap();
    std::fs::write(from.join("small"), "text").unwrap();
    for pod in ["web", "reader"] {
        let run = |line: String| {
            let mut command = kubectl.command(&line);
            over(&mut command, websockets);
            let output = command.output().unwrap();
            let complaints = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !complaints.contains("nknown stream"), "{line}: {complaints}");
        };
        run(format!("cp {} {pod}:/tmp/copied-{websockets}", from.display()));
        run(format!("cp {pod}:/tmp/copied-{websockets} {}", to.display()));
        assert_eq!(std::fs::read(to.join("deep/large")).unwrap(), large, "{pod}");
        assert_eq!(std::fs::read_to_string(to.join("small")).unwrap(), "text", "{pod}");
        std::fs::remove_dir_all(&to).unwrap();
    }
}

#[test]
fn ports_of_every_pod_are_forwarded() {
    let Some((_cluster, kubectl)) =
        kubectl::open("ports_of_every_pod_are_forwarded", "forward", &["--nodes", "1"])
    else {
        return;
    };
    ready(&kubectl);
    for (websockets, carrier) in CARRIERS {
        for (pod, pod_port) in [("web", 8080), ("host", 8088)] {
            let line = format!("port-forward pod/{pod} :{pod_port}");
            let mut forward = Started::new(&kubectl, &line, websockets);
            let said = forward.line();
            let port = said.split(':').nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
            for _ in 0..3 {
                let answer = get(port, "/x");
                let is_right =
                    answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("\"pod\": \"{pod}\""));
                assert!(is_right, "{pod} over {carrier}: {answer}");
            }
        }
    }
    for name in ["pods/web", "pods/http:web:http", "services/web:80", "services/http:web:main"] {
        let said = kubectl.ok(&format!("get --raw /api/v1/namespaces/default/{name}/proxy/x?y=1"));
        assert!(
            said.contains("\"pod\": \"web\"")
                && said.contains("\"path\": \"/x\"")
                && said.contains("\"query\": \"y=1\""),
            "{name}: {said}"
        );
    }
    let idle = "get --raw /api/v1/namespaces/default/services/idle:80/proxy/";
    kubectl.run(idle).fails("no endpoints available for service");

    let mut proxy = Started::new(&kubectl, "proxy --port=0", "true");
    let said = proxy.line();
    let port = said.trim().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    let path = "/api/v1/namespaces/default/services/http:web:80/proxy/x";
    let answer = get(port, path);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"pod\": \"web\""), "{answer}");
}
