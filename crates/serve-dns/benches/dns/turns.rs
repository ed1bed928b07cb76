//! All servers at once, and their turns.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cluster::Names;
use crate::figures::{Figure, Figures};
use crate::load::{Way, flat_out, latency};
use crate::peers::Common;
use crate::process::{Server, pin};
use crate::{Options, goals};

pub(crate) const OURS: &str = "ours";
/// All servers there may be, ours first.
pub(crate) const SUBJECTS: [&str; 6] = [OURS, "coredns", "unbound", "knot", "nsd", "echo"];
/// Of these, those that ask others and remember what they said.
const CACHING: [&str; 3] = [OURS, "coredns", "unbound"];
/// More queries without an answer than this make a figure one of something else.
const MAX_LOST: f64 = 0.01;

/// Measures and prints.
pub(crate) fn run(options: &Options) {
    if Command::new("dnsperf").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("no figures: there is no program dnsperf");
        return;
    }
    let folder = std::env::temp_dir().join(format!("sealane-bench-dns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // Before this process keeps to one processor.
    let machine = crate::machine::machine();
    let figures = measure(options, &folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let (figures, names) = figures;
    println!("{} rounds of {} s; {}", options.rounds, options.seconds, machine);
    println!("\n× above 1: better than that one\n{}", figures.table(&names));
    goals::print(&figures);
    if let Some(file) = &options.json {
        std::fs::write(file, figures.json().to_string()).unwrap();
    }
}

fn measure(options: &Options, folder: &Path) -> (Figures, Vec<&'static str>) {
    let [processor, own_processor] = options.processors;
    pin(own_processor);
    std::fs::write(folder.join("cluster.zone"), options.size.zone()).unwrap();
    let outside = Common::outside(folder, own_processor);
    let upstream = outside.as_ref().map_or(9, |server| server.port);
    if let Err(reason) = &outside {
        println!("no cached names: no server of names outside ({reason})");
    }
    let common = Common { size: options.size, folder, processor, upstream };
    let servers = start(&common, options);
    let mut figures = Figures::default();
    for round in 0..options.rounds {
        println!("round {} of {}, load {}", round + 1, options.rounds, load_average());
        for names in Names::ALL.into_iter().filter(|names| *names != Names::Outside || outside.is_ok()) {
            let questions = questions(options, folder, names);
            turn(options, names, &questions, &servers, &mut figures);
        }
    }
    for (name, server) in &servers {
        figures.add(name, ("after all".to_owned(), Figure::Memory), server.memory());
    }
    (figures, servers.iter().map(|(name, _)| *name).collect())
}

fn start(common: &Common<'_>, options: &Options) -> Vec<(&'static str, Server)> {
    let mut servers = Vec::new();
    for name in SUBJECTS {
        if options.without.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let server = match name {
            OURS => common.ours(),
            "coredns" => match &options.coredns {
                Some(program) => common.coredns(program),
                None => Err("no program was named with --coredns".to_owned()),
            },
            "unbound" => common.unbound(),
            "knot" => common.knot(),
            "nsd" => common.nsd(),
            _ => common.echo(),
        };
        match server {
            Ok(server) => servers.push((name, server)),
            Err(reason) => println!("no {name}: {reason}"),
        }
    }
    servers
}

fn questions(options: &Options, folder: &Path, names: Names) -> PathBuf {
    let path = folder.join(format!("{names:?}.questions"));
    if !path.exists() {
        std::fs::write(&path, options.size.questions(names)).unwrap();
    }
    path
}

/// One load after the other, each with all servers.
fn turn(
    options: &Options,
    names: Names,
    questions: &Path,
    servers: &[(&'static str, Server)],
    figures: &mut Figures,
) {
    let knows = |name: &str| names != Names::Outside || CACHING.contains(&name);
    for way in Way::ALL {
        let load = format!("{}, {}", names.word(), way.word());
        if !load.contains(&options.only) {
            continue;
        }
        let able = |name: &str| knows(name) && (way == Way::Udp || name != "echo");
        for (name, server) in servers.iter().filter(|(name, _)| able(name)) {
            let flat = flat_out(server, way, questions, options.seconds);
            if flat.lost > MAX_LOST {
                println!("{name}, {load}: {:.1} % without an answer", flat.lost * 100.0);
            }
            figures.add(name, (load.clone(), Figure::Rate), flat.rate);
            figures.add(name, (load.clone(), Figure::PerProcessor), 1e6 / flat.cpu);
        }
    }
    for offered in &options.offered {
        let load = format!("{}, {offered}/s", names.word());
        if !load.contains(&options.only) {
            continue;
        }
        for (name, server) in servers.iter().filter(|(name, _)| knows(name)) {
            let (p99, lost) = latency(server, questions, *offered, options.seconds);
            if lost > MAX_LOST {
                println!("{name}, {load}: {:.1} % without an answer", lost * 100.0);
            }
            figures.add(name, (load.clone(), Figure::P99), p99);
        }
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
