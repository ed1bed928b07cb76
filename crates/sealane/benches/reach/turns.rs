//! The changes, one after the other, and what they took.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use kube::api::{WatchEvent, WatchParams};

use crate::cluster::{Cluster, PROBED, node};
use crate::machine::machine;
use crate::probe::nanoseconds;
use crate::{Options, own_path, processes, stages};

/// How long a change may take at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where a change is seen without any agent: by a client that watches.
const WATCH: &str = "a watch";

/// Where somebody else answers, since when, and who.
type Seen = (String, u64, String);

pub(crate) fn run(options: &Options) {
    println!("{}", machine());
    let state_dir = PathBuf::from(std::env::var_os("SEALANE_STATE_DIR").unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = runtime.block_on(Cluster::open(options.nodes));
    let servers: Vec<String> = cluster.servers.keys().cloned().collect();
    let start = Instant::now();
    runtime.block_on(cluster.fill(options.services, options.endpoints));
    let Options { services, endpoints, .. } = options;
    println!(
        "{services} Services of {endpoints} endpoints written in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let address = runtime.block_on(cluster.make_probed(&servers[0]));
    let (sender, seen) = channel();
    let probers: Vec<Child> =
        (0..options.nodes).map(|number| probe(&node(number), address, sender.clone())).collect();
    await_all(&seen, options.nodes, &servers[0]);
    println!("the last of them reaches packets on every node after {:.1} s", start.elapsed().as_secs_f64());
    await_rest(&state_dir);
    let watcher = std::thread::spawn(move || watch(&sender));
    let stages_before = stages::of_nodes(options.nodes);
    let (before, start) = (processes::all(&state_dir), Instant::now());
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for change in 1..=options.changes {
        let server = &servers[change % servers.len()];
        let written = nanoseconds();
        runtime.block_on(cluster.turn_to(server));
        let answered = nanoseconds();
        let arrived = await_all(&seen, options.nodes + 1, server);
        let mut add = |place: &str, at: u64| {
            times.entry(place.to_owned()).or_default().push(at.saturating_sub(written) as f64 / 1e6);
        };
        add("the API's answer", answered);
        arrived.iter().for_each(|(place, at)| add(place, *at));
        add(
            "every node",
            arrived.iter().filter(|(place, _)| *place != WATCH).map(|(_, at)| *at).max().unwrap(),
        );
        std::thread::sleep(Duration::from_millis(options.pause));
    }
    let (after, elapsed) = (processes::all(&state_dir), start.elapsed());
    show_times(&mut times);
    println!("stages of the agents:\n{}", stages::between(&stages_before, &stages::of_nodes(options.nodes)));
    println!("processes, in {:.1} s with {} changes:", elapsed.as_secs_f64(), options.changes);
    for (name, used) in &after {
        let spent = used.milliseconds - before.get(name).copied().unwrap_or_default().milliseconds;
        let each = spent as f64 / options.changes as f64;
        println!("  {name}: {each:.1} ms of processor time per change, {} MiB", used.mebibytes);
    }
    for mut prober in probers {
        prober.kill().unwrap();
        prober.wait().unwrap();
    }
    // It ends with this process.
    drop(watcher);
}

fn show_times(times: &mut BTreeMap<String, Vec<f64>>) {
    println!("from just before the write, in milliseconds:");
    for (place, times) in times {
        times.sort_by(f64::total_cmp);
        let (median, tenth) = (times[times.len() / 2], times[times.len() * 9 / 10]);
        let worst = times.last().unwrap();
        println!("  {place}: median {median:.1}, nine of ten {tenth:.1}, worst {worst:.1}");
    }
}

/// A program in a Pod of this node that tells whenever another server answers.
fn probe(node: &str, address: IpAddr, sender: Sender<Seen>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealane"));
    command.args(["lab", "exec", &format!("prober-{node}"), "--"]).arg(own_path());
    command.args(["probe", &SocketAddr::new(address, 80).to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let node = node.to_owned();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let (at, server) = line.split_once(' ').unwrap();
            let seen = (node.clone(), at.parse().unwrap(), server.to_owned());
            if sender.send(seen).is_err() {
                return;
            }
        }
    });
    child
}

/// The same from a watch of the API.
fn watch(sender: &Sender<Seen>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::look().await;
        let own = WatchParams::default().fields(&format!("metadata.name={PROBED}-1"));
        let mut events = Box::pin(cluster.slices.watch(&own, "0").await.unwrap());
        while let Some(event) = events.try_next().await.unwrap() {
            let at = nanoseconds();
            let WatchEvent::Modified(slice) = event else { continue };
            let address = slice.endpoints[0].addresses[0].clone();
            let server = cluster.servers.iter().find(|(_, own)| own.to_string() == address).unwrap().0;
            if sender.send((WATCH.to_owned(), at, server.clone())).is_err() {
                return;
            }
        }
    });
}

/// Waits until the server was seen from so many places, and tells when.
fn await_all(seen: &Receiver<Seen>, places: usize, server: &str) -> BTreeMap<String, u64> {
    let (start, mut arrived) = (Instant::now(), BTreeMap::new());
    while arrived.len() < places {
        let left = PATIENCE.saturating_sub(start.elapsed());
        let Ok((place, at, who)) = seen.recv_timeout(left) else {
            panic!("{server} was seen from {:?} only", arrived.keys());
        };
        if who == server {
            arrived.entry(place).or_insert(at);
        } else {
            eprintln!("{place}: {who}");
        }
    }
    arrived
}

/// Waits until the lab's processes have done what the many Services made them do: a second with little work.
fn await_rest(state_dir: &std::path::Path) {
    let start = Instant::now();
    let used = || processes::all(state_dir).values().map(|used| used.milliseconds).sum::<u64>();
    let mut last = used();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = used();
        if now - last < 700 || start.elapsed() > PATIENCE {
            println!(
                "waited {:.0} s for rest; the last second took {} ms",
                start.elapsed().as_secs_f64(),
                now - last
            );
            return;
        }
        last = now;
    }
}
