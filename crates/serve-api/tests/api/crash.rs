//! A server killed in the midst of concurrent writes has lost nothing that it acknowledged.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use sealane_serve_api::{ApiServer, ApiServerConfig, Credentials, NoPods, kubeconfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::world::store_config;

/// Tells this test, started once more as a process of its own, to be the server.
const DIRECTORY: &str = "SEALANE_TEST_CRASH_DIRECTORY";
/// How often the server is killed.
const KILLS: u32 = 10;
const WRITERS: usize = 6;
/// Objects of each writer.
const NAMES: u32 = 5;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return serve(Path::new(&directory));
    }
    let directory = std::env::temp_dir().join(format!("sealane-api-killed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut ledgers: Vec<Ledger> = (0..WRITERS).map(Ledger::new).collect();
    let (mut newest, mut draws) = (0, Draws(7));
    for kill in 0..KILLS {
        if draws.below(2) == 0 {
            // Killed once more while it reads back, and repairs, what the last one left.
            let file = directory.join("data/objects.redb");
            let before = changed(&file);
            Server::start(&directory).kill_when(|server| changed(&file) != before || server.serves());
        }
        let mut server = Server::start(&directory);
        let patience = 1 + draws.below(300);
        ledgers = tokio.block_on(async {
            let client = server.client().await;
            newest = verify(&client, &mut ledgers, newest).await;
            write_until_killed(&client, ledgers, &mut server, patience).await
        });
        newest = ledgers.iter().map(|ledger| ledger.newest).chain([newest]).max().unwrap();
        assert!(kill == 0 || newest > 0);
    }
    let server = Server::start(&directory);
    tokio.block_on(async {
        verify(&server.client().await, &mut ledgers, newest).await;
    });
    drop(server);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// When a file was written last.
fn changed(file: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}

/// What a first start makes, step by step: the server is killed when it has got so far.
const STEPS: [&str; 8] =
    ["pki", "pki/ca.crt", "pki/admin.key", "pki/token.part", "pki/token", "data", "data/objects.redb", "url"];

#[test]
fn a_first_start_that_is_killed_is_begun_again() {
    let base = std::env::temp_dir().join(format!("sealane-api-begun-{}", std::process::id()));
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (number, step) in STEPS.iter().enumerate() {
        let directory = base.join(number.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        Server::start(&directory).kill_when(|server| directory.join(step).exists() || server.serves());
        let server = Server::start(&directory);
        let object = json!({"metadata": {"name": "first"}, "data": {"n": "1"}});
        let (code, answer) = tokio.block_on(async {
            let client = server.client().await;
            send(&client, Method::POST, COLLECTION, "application/json", &object).await.unwrap()
        });
        assert_eq!(code, 201, "killed at {step}: {answer}");
    }
    std::fs::remove_dir_all(&base).unwrap();
}

/// What one writer knows about its objects: a number in each, or that it is gone.
struct Ledger {
    writer: usize,
    draws: Draws,
    acknowledged: BTreeMap<String, Option<u64>>,
    /// What was sent and not answered: it may or may not have happened.
    doubtful: Option<(String, Option<u64>)>,
    /// The newest revision seen.
    newest: u64,
    counter: u64,
}

impl Ledger {
    fn new(writer: usize) -> Self {
        let draws = Draws(u64::try_from(writer).unwrap() + 1);
        Self { writer, draws, acknowledged: BTreeMap::new(), doubtful: None, newest: 0, counter: 0 }
    }

    /// Writes until the server is gone.
    async fn write(&mut self, client: &Client, answered: &watch::Sender<u32>) {
        loop {
            let name = format!("w{}-{}", self.writer, self.draws.below(NAMES));
            self.counter += 1;
            let there = self.acknowledged.get(&name).is_some_and(Option::is_some);
            let (method, path, content_type, value) = match (there, self.draws.below(4)) {
                (false, _) => (Method::POST, COLLECTION.to_owned(), "application/json", Some(self.counter)),
                (true, 0) => (Method::DELETE, format!("{COLLECTION}/{name}"), "application/json", None),
                (true, _) => {
                    let path = format!("{COLLECTION}/{name}");
                    (Method::PATCH, path, "application/merge-patch+json", Some(self.counter))
                }
            };
            let body = value.map_or(
                json!({}),
                |value| json!({"metadata": {"name": name}, "data": {"n": value.to_string()}}),
            );
            self.doubtful = Some((name.clone(), value));
            let Ok((code, answer)) = send(client, method, &path, content_type, &body).await else { return };
            assert!(code < 300, "{path}: {answer}");
            if let Some(revision) = answer["metadata"]["resourceVersion"].as_str() {
                let revision = revision.parse().unwrap();
                assert!(revision > self.newest, "{revision} comes after {}", self.newest);
                self.newest = revision;
            }
            self.doubtful = None;
            self.acknowledged.insert(name, value);
            answered.send_modify(|count| *count += 1);
        }
    }
}

/// Lets all writers write, and kills the server when it has answered so often.
async fn write_until_killed(
    client: &Client,
    ledgers: Vec<Ledger>,
    server: &mut Server,
    patience: u32,
) -> Vec<Ledger> {
    let answered = watch::Sender::new(0);
    let writers: Vec<_> = ledgers
        .into_iter()
        .map(|mut ledger| {
            let (client, answered) = (client.clone(), answered.clone());
            tokio::spawn(async move {
                ledger.write(&client, &answered).await;
                ledger
            })
        })
        .collect();
    let mut counter = answered.subscribe();
    let enough = tokio::time::timeout(PATIENCE, counter.wait_for(|count| *count >= patience)).await;
    enough.expect("the server answers").unwrap();
    // An answer has just been seen, so a commit has just ended: a moment more, to be in the midst of the next.
    for _ in 0..patience * 7 % 1024 {
        tokio::task::yield_now().await;
    }
    server.kill();
    let mut ledgers = Vec::new();
    for writer in writers {
        ledgers.push(writer.await.unwrap());
    }
    ledgers
}

/// Compares what the server holds with what it acknowledged; returns its revision.
async fn verify(client: &Client, ledgers: &mut [Ledger], newest: u64) -> u64 {
    let (code, list) = send(client, Method::GET, COLLECTION, "", &Value::Null).await.unwrap();
    assert_eq!(code, 200, "{list}");
    let held: BTreeMap<&str, u64> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["data"]["n"].is_string())
        .map(|item| {
            let number = item["data"]["n"].as_str().unwrap().parse().unwrap();
            (item["metadata"]["name"].as_str().unwrap(), number)
        })
        .collect();
    for ledger in ledgers {
        if let Some((name, value)) = ledger.doubtful.take()
            && held.get(name.as_str()).copied() == value
        {
            ledger.acknowledged.insert(name, value);
        }
        for (name, value) in &ledger.acknowledged {
            assert_eq!(held.get(name.as_str()), value.as_ref(), "{name} of {held:?}");
        }
    }
    let revision: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(revision >= newest, "{revision} is no step back behind {newest}");
    revision
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Result<(u16, Value), String> {
    let mut request = Request::builder().method(method).uri(path);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer =
        client.send(request.body(Body::from(body)).unwrap()).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((head.status.as_u16(), serde_json::from_slice(&body).map_err(|error| error.to_string())?))
}

/// The server, as a process that can be killed.
struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let _ = std::fs::remove_file(directory.join("url"));
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::nothing_acknowledged_is_lost_when_the_server_is_killed", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, directory: directory.to_owned() }
    }

    /// A client of it, once it serves.
    async fn client(&self) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(url) = std::fs::read_to_string(self.directory.join("url")) {
                let credentials = Credentials::load_or_generate(&self.directory.join("pki")).unwrap();
                let text = kubeconfig(&credentials, &url);
                let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).unwrap();
                let options = kube::config::KubeConfigOptions::default();
                let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
                return Client::try_from(config).unwrap();
            }
            assert!(Instant::now() < deadline, "the server starts");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn serves(&self) -> bool {
        self.directory.join("url").exists()
    }

    /// Kills it at once when the condition holds.
    fn kill_when(mut self, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self) {
            assert!(Instant::now() < deadline, "the server starts");
            std::thread::yield_now();
        }
        self.kill();
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until the test that started this process is gone.
fn serve(directory: &Path) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = ApiServer::new(ApiServerConfig {
        listeners: vec![listener],
        credentials: Credentials::load_or_generate(&directory.join("pki")).unwrap(),
        data_dir: Some(directory.join("data")),
        runtime: Arc::new(NoPods),
        store: store_config(),
    })
    .unwrap();
    std::fs::write(directory.join("url.new"), url).unwrap();
    std::fs::rename(directory.join("url.new"), directory.join("url")).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(server.serve(CancellationToken::new())).unwrap();
}

/// Numbers that are the same in every run.
struct Draws(u64);

impl Draws {
    /// A number below the limit (Knuth's MMIX generator).
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % limit
    }
}
