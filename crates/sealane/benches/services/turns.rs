//! The rounds: every subject of every size has its turn at everything.

use std::time::Duration;

use crate::cluster::{Change, Size};
use crate::figures::{Figures, Row};
use crate::form::{Form, Rules};
use crate::load::Load;
use crate::machine::machine;
use crate::ours::Ours;
use crate::proxy::{KubeProxy, Mode};
use crate::space::Space;
use crate::{Options, goals};

pub(crate) const OURS: &str = "sealane";
/// Endpoints of each Service.
const ENDPOINTS: u32 = 3;
/// What takes longer is loaded once, not in each round.
const QUICK: Duration = Duration::from_secs(3);
const LOADS: [Load; 3] = [Load::Connect, Load::FirstPacket, Load::Stream(1)];

/// One subject of one size, on a node of its own.
struct Turn<'a> {
    size: Size,
    subject: Subject<'a>,
    space: &'a Space,
    /// How often what was changed.
    times: u32,
    load_took: Duration,
}

enum Subject<'a> {
    Ours(Box<Ours>),
    Form(Rules<'a>),
    Proxy(KubeProxy<'a>),
}

/// What we are compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Form(Form),
    Proxy(Mode),
}

pub(crate) fn run(options: &Options) {
    println!("{}", machine());
    let peers = peers(options);
    let names: Vec<String> =
        std::iter::once(OURS.to_owned()).chain(peers.iter().map(|it| it.name())).collect();
    let mut figures = Figures::default();
    let mut missing = Vec::new();
    let spaces: Vec<Space> = options
        .services
        .iter()
        .flat_map(|size| names.iter().map(move |name| Space::make(&format!("{size}-{name}"))))
        .collect();
    let mut turns = start(options, &peers, &spaces, &mut figures, &mut missing);
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for turn in &mut turns {
            if round > 1 && turn.load_took < QUICK && wants(options, &row_of_load(turn.size)) {
                turn.reload(&mut figures);
            }
        }
        turns.iter_mut().for_each(|turn| turn.change(options, &mut figures));
        for (services, load) in matrix(options) {
            let of_size = turns.iter().filter(|turn| turn.size == size(services));
            of_size.for_each(|turn| turn.measure(load, options, &mut figures));
        }
    }
    drop(turns);
    let held = held_at_ten_endpoints(options);
    println!("{} rounds of {} s; {}", options.rounds, options.seconds, machine());
    missing.iter().for_each(|reason| println!("{reason}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    println!("\n× above 1: better than that one");
    for services in &options.services {
        println!("{}", figures.table(&names, &named(size(*services), "")));
    }
    goals::print(&figures, &options.services, held);
    if let Some(file) = &options.json {
        std::fs::write(file, figures.json().to_string()).unwrap();
    }
}

/// What is measured one right after the other: all subjects of one size under one load.
fn matrix(options: &Options) -> impl Iterator<Item = (u32, Load)> {
    options.services.iter().flat_map(|services| LOADS.map(|load| (*services, load)))
}

fn peers(options: &Options) -> Vec<Peer> {
    let mut peers = Vec::new();
    for form in Form::ALL {
        match form.is_here() {
            true => peers.push(Peer::Form(form)),
            false => println!("no {form}: there is no program {}", form.program()),
        }
    }
    match &options.kube_proxy {
        Ok(_) => peers.extend(Mode::ALL.map(Peer::Proxy)),
        Err(reason) => println!("no kube-proxy: {reason}"),
    }
    peers.retain(|peer| !options.without.iter().any(|word| peer.name().contains(word.as_str())));
    peers
}

impl Peer {
    fn name(self) -> String {
        match self {
            Self::Form(form) => form.to_string(),
            Self::Proxy(mode) => mode.to_string(),
        }
    }

    fn subject<'a>(self, size: Size, space: &'a Space, options: &Options) -> Subject<'a> {
        match self {
            Self::Form(form) => Subject::Form(Rules::new(form, size, space.node(), options.limit)),
            Self::Proxy(mode) => {
                let program = options.kube_proxy.as_ref().expect("else it is no peer");
                Subject::Proxy(KubeProxy::new(mode, program, size, space, options.limit))
            }
        }
    }
}

fn wants(options: &Options, row: &Row) -> bool {
    row.name.contains(&options.only)
}

/// Loads every subject of every size for the first time.
fn start<'a>(
    options: &Options,
    peers: &[Peer],
    spaces: &'a [Space],
    figures: &mut Figures,
    missing: &mut Vec<String>,
) -> Vec<Turn<'a>> {
    let (mut turns, mut spaces, mut slow) = (Vec::new(), spaces.iter(), Vec::new());
    for services in &options.services {
        let size = size(*services);
        let space = spaces.next().expect("there is a node for every subject");
        let ours = Subject::Ours(Box::new(Ours::start(space, size)));
        turns.extend(Turn::begin(size, ours, space, figures).map_err(|reason| missing.push(reason)).ok());
        for peer in peers {
            let space = spaces.next().expect("there is a node for every subject");
            if slow.contains(peer) {
                let name = peer.name();
                missing.push(format!("{name}, {services} Services: not tried, fewer took too long"));
                continue;
            }
            match Turn::begin(size, peer.subject(size, space, options), space, figures) {
                Ok(turn) => turns.push(turn),
                Err(reason) => {
                    slow.push(*peer);
                    missing.push(reason);
                }
            }
        }
    }
    turns
}

impl<'a> Turn<'a> {
    fn begin(
        size: Size,
        subject: Subject<'a>,
        space: &'a Space,
        figures: &mut Figures,
    ) -> Result<Self, String> {
        let mut turn = Self { size, subject, space, times: 0, load_took: Duration::ZERO };
        eprintln!("{}, {} Services", turn.name(), size.services);
        let before = kernel_megabytes();
        let took = turn.subject.load();
        turn.load_took = took.map_err(|why| format!("{}, {} Services: {why}", turn.name(), size.services))?;
        let row = |what: &str| Row { name: named(size, what), is_time: true };
        figures.add(&turn.name(), row("kernel memory, MB"), kernel_megabytes() - before);
        if let Some(megabytes) = turn.subject.resident() {
            figures.add(&turn.name(), row("process memory, MB"), megabytes);
        }
        if !turn.is_base() {
            figures.add(&turn.name(), row_of_load(size), turn.load_took.as_secs_f64() * 1e3);
        }
        assert!(space.answers(turn.is_direct()), "{} does not forward", turn.name());
        Ok(turn)
    }

    fn name(&self) -> String {
        match &self.subject {
            Subject::Ours(_) => OURS.to_owned(),
            Subject::Form(rules) => rules.form.to_string(),
            Subject::Proxy(proxy) => proxy.mode.to_string(),
        }
    }

    /// Whether there are no Services at all.
    fn is_base(&self) -> bool {
        matches!(&self.subject, Subject::Form(rules) if !rules.form.has_services())
    }

    /// Whether traffic goes straight to an endpoint.
    fn is_direct(&self) -> bool {
        matches!(&self.subject, Subject::Form(Rules { form: Form::Tracked, .. }))
    }

    fn reload(&mut self, figures: &mut Figures) {
        // kube-proxy loads all of its rules only as it starts.
        if self.is_base() || matches!(self.subject, Subject::Proxy(_)) {
            return;
        }
        self.subject.unload();
        self.load_took = self.subject.load().unwrap();
        figures.add(&self.name(), row_of_load(self.size), self.load_took.as_secs_f64() * 1e3);
    }

    fn change(&mut self, options: &Options, figures: &mut Figures) {
        for (word, what) in [("endpoint", "one endpoint replaced, ms"), ("service", "one Service added, ms")]
        {
            let row = Row { name: named(self.size, what), is_time: true };
            if !self.is_base() && wants(options, &row) {
                let took = self.subject.change(self.size, word, self.times);
                figures.add(&self.name(), row, took.as_secs_f64() * 1e3);
            }
        }
        self.times += 1;
    }

    fn measure(&self, load: Load, options: &Options, figures: &mut Figures) {
        let row = row_of_traffic(self.size, load);
        if wants(options, &row) {
            figures.add(&self.name(), row, self.space.run(load, self.is_direct(), options.seconds));
        }
    }
}

impl Subject<'_> {
    fn load(&mut self) -> Result<Duration, String> {
        match self {
            Self::Ours(ours) => Ok(ours.load()),
            Self::Form(rules) => rules.load(),
            Self::Proxy(proxy) => proxy.load(),
        }
    }

    fn unload(&mut self) {
        match self {
            Self::Ours(ours) => ours.unload(),
            Self::Form(rules) => drop(rules.unload().unwrap()),
            Self::Proxy(_) => {}
        }
    }

    /// What a process holds in memory, in megabytes, where one stays.
    fn resident(&self) -> Option<f64> {
        match self {
            Self::Ours(ours) => ours.resident(),
            Self::Form(_) => None,
            Self::Proxy(proxy) => proxy.resident(),
        }
    }

    fn change(&mut self, size: Size, word: &str, time: u32) -> Duration {
        let change: Change = match word {
            "endpoint" => size.replaced_endpoint(time),
            _ => size.added_service(time),
        };
        match self {
            Self::Ours(ours) => ours.change(word, time),
            Self::Form(rules) => rules.change(&change).unwrap(),
            Self::Proxy(proxy) => proxy.change(&change).unwrap(),
        }
    }
}

fn named(size: Size, what: &str) -> String {
    format!("{} Services: {what}", size.services)
}

pub(crate) fn row_of_load(size: Size) -> Row {
    Row { name: named(size, "full load, ms"), is_time: true }
}

pub(crate) fn row_of_traffic(size: Size, load: Load) -> Row {
    let what = match load {
        Load::Connect => "connections per second",
        Load::FirstPacket => "first packet p50, µs",
        Load::Stream(_) => "1 stream, Gbit/s",
        Load::RoundTrip => "round trip p50, µs",
    };
    Row { name: named(size, what), is_time: load.is_time() }
}

/// Size by number of Services.
pub(crate) fn size(services: u32) -> Size {
    Size { services, endpoints: ENDPOINTS }
}

/// What our process takes with 10 000 Services and 100 000 endpoints, in megabytes.
fn held_at_ten_endpoints(options: &Options) -> Option<f64> {
    if !"process memory, MB".contains(&options.only) || !options.services.contains(&10_000) {
        return None;
    }
    let space = Space::make("ten");
    let mut ours = Ours::start(&space, Size { services: 10_000, endpoints: 10 });
    ours.load();
    ours.resident()
}

/// What the kernel holds for itself: slabs that cannot be given back, vmalloc and per-processor memory, in megabytes.
fn kernel_megabytes() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let fields = ["SUnreclaim:", "VmallocUsed:", "Percpu:"];
    let values = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        fields.contains(&name).then(|| rest.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0))
    });
    values.sum::<f64>() / 1e3
}
