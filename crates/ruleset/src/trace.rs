//! Walking a packet through the rules, to say what becomes of it and which element decided.
//!
//! It knows the rules' statements, not what they are meant for: that is what makes it a check of `render`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use types::IpFamily;

use crate::hash;
use crate::value::{
    Conntrack, Data, Element, Field, HookPoint, Kind, Membership, Reject, Rule, Ruleset, Scratch, Set,
    SetKind, Statement, Value, Verdict,
};

/// A packet, as it reaches the node or is made there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Where it comes from.
    pub origin: Origin,
    /// Addresses this node holds: what goes to one of them, after translation, is delivered here.
    pub local: BTreeSet<IpAddr>,
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// This node itself.
    Here,
    /// A link: a Pod, another node, the outside.
    Link,
}

/// What connection tracking says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConntrackState {
    /// First packet of a connection.
    New,
    /// Of a known connection, or an error about one.
    Known,
    /// Fits no connection.
    Invalid,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It goes on.
    Accepted,
    /// It ends silently.
    Dropped,
    /// It ends, and the sender is told.
    Refused(Reject),
}

/// Where a packet went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What becomes of it.
    pub fate: Fate,
    /// Destination after translation.
    pub destination: SocketAddr,
    /// Whether its source becomes this node's address.
    pub masqueraded: bool,
    /// Rules that matched, in order.
    pub hops: Vec<Hop>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its chain.
    pub chain: String,
    /// The rule, printed.
    pub rule: String,
    /// Comments of the elements it met, and its own.
    pub comments: Vec<String>,
}

impl Trace {
    /// The last comment on the way: the object or reason that decided.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.hops.iter().rev().flat_map(|hop| hop.comments.iter().rev()).next().map_or("", String::as_str)
    }
}

/// Walks a packet through all hooks; `draw` is the random number that chooses a backend.
#[must_use]
pub fn trace(rules: &Ruleset, packet: &Packet, state: ConntrackState, draw: u32) -> Trace {
    let mut walk = Walk {
        rules,
        packet,
        state,
        draw,
        destination: packet.destination,
        translated: false,
        masqueraded: false,
        scratch: 0,
        hops: Vec::new(),
    };
    let fate = walk.all_hooks();
    Trace { fate, destination: walk.destination, masqueraded: walk.masqueraded, hops: walk.hops }
}

/// How evaluation goes on after a statement, rule or chain.
enum Flow {
    /// With the next statement, rule or hook.
    On,
    /// With the next rule: this one does not match.
    NoMatch,
    /// Back to the chain that jumped here.
    Back,
    /// Into another chain.
    Enter { chain: String, and_back: bool },
    /// This hook is done.
    Accept,
    /// The packet is done.
    End(Fate),
}

struct Walk<'a> {
    rules: &'a Ruleset,
    packet: &'a Packet,
    state: ConntrackState,
    draw: u32,
    destination: SocketAddr,
    translated: bool,
    masqueraded: bool,
    scratch: u32,
    hops: Vec<Hop>,
}

impl Walk<'_> {
    fn all_hooks(&mut self) -> Fate {
        let first =
            if self.packet.origin == Origin::Here { HookPoint::Output } else { HookPoint::Prerouting };
        if let Some(fate) = self.hook(first) {
            return fate;
        }
        let local = self.packet.local.contains(&self.destination.ip());
        let rest: &[HookPoint] = match (self.packet.origin, local) {
            (Origin::Link, true) => &[HookPoint::Input],
            (Origin::Link, false) => &[HookPoint::Forward, HookPoint::Postrouting],
            (Origin::Here, _) => &[HookPoint::Postrouting],
        };
        rest.iter().find_map(|point| self.hook(*point)).unwrap_or(Fate::Accepted)
    }

    /// Runs the base chains of a hook; the packet's end, if it ends here.
    fn hook(&mut self, point: HookPoint) -> Option<Fate> {
        let rules = self.rules;
        let mut chains: Vec<_> = rules
            .chains
            .iter()
            .filter_map(|(name, chain)| Some((chain.hook.filter(|hook| hook.point == point)?, name)))
            .filter(|(hook, _)| hook.kind == Kind::Filter || self.state == ConntrackState::New)
            .collect();
        chains.sort_by_key(|(hook, _)| hook.priority);
        chains.into_iter().find_map(|(_, name)| match self.chain(name) {
            Flow::End(fate) => Some(fate),
            _ => None,
        })
    }

    fn chain(&mut self, name: &str) -> Flow {
        let rules = self.rules;
        let Some(chain) = rules.chains.get(name) else { return Flow::On };
        for rule in &chain.rules {
            match self.rule(name, rule) {
                Flow::On | Flow::NoMatch => {}
                Flow::Enter { chain, and_back: true } => match self.chain(&chain) {
                    Flow::On | Flow::NoMatch | Flow::Back => {}
                    flow => return flow,
                },
                Flow::Enter { chain, and_back: false } => return self.chain(&chain),
                flow => return flow,
            }
        }
        Flow::On
    }

    fn rule(&mut self, chain: &str, rule: &Rule) -> Flow {
        let mut comments = Vec::new();
        for statement in &rule.statements {
            match self.statement(statement, &mut comments) {
                Flow::On => {}
                Flow::NoMatch => return Flow::NoMatch,
                flow => {
                    self.note(chain, rule, comments);
                    return flow;
                }
            }
        }
        self.note(chain, rule, comments);
        Flow::On
    }

    fn note(&mut self, chain: &str, rule: &Rule, mut comments: Vec<String>) {
        if !rule.comment.is_empty() {
            comments.push(rule.comment.clone());
        }
        comments.retain(|comment| !comment.is_empty());
        self.hops.push(Hop { chain: chain.to_owned(), rule: rule.to_string(), comments });
    }

    fn statement(&mut self, statement: &Statement, comments: &mut Vec<String>) -> Flow {
        match statement {
            Statement::Lookup { key, set, is } => self.lookup(key, set, *is, comments),
            Statement::Protocol(number) => matches(self.packet.protocol == *number),
            Statement::Conntrack(Conntrack::Known) => matches(self.state == ConntrackState::Known),
            Statement::Conntrack(Conntrack::Invalid) => matches(self.state == ConntrackState::Invalid),
            Statement::Conntrack(Conntrack::Translated) => matches(self.translated),
            // The packets that are traced are those of honest senders, and of no link in particular.
            Statement::FromPodLink => matches(self.packet.origin == Origin::Link),
            Statement::ForgedSource => Flow::NoMatch,
            Statement::NeighbourDiscovery => {
                matches(self.packet.protocol == 58 && (133..=137).contains(&self.destination.port()))
            }
            Statement::Scratch(source) => self.write_scratch(source, comments),
            Statement::Dispatch { key, map } => match self.find(key, map) {
                Some(Element { data: Data::Verdict(verdict), .. }) => flow(verdict),
                _ => Flow::NoMatch,
            },
            Statement::Dnat { key, map, .. } => self.dnat(key, map, comments),
            Statement::Update { key, .. } => matches(self.values(key).is_some()),
            Statement::Masquerade => {
                self.masqueraded = true;
                Flow::Accept
            }
            Statement::Reject(how) => Flow::End(Fate::Refused(*how)),
            Statement::Notrack | Statement::Counter => Flow::On,
            Statement::Verdict(verdict) => flow(verdict),
            Statement::Foreign => Flow::NoMatch,
        }
    }

    fn lookup(&self, key: &[Field], set: &str, is: Membership, comments: &mut Vec<String>) -> Flow {
        if self.values(key).is_none() {
            return Flow::NoMatch;
        }
        let found = self.find(key, set);
        comments.extend(found.map(|element| element.comment.clone()));
        matches(found.is_some() == (is == Membership::In))
    }

    fn write_scratch(&mut self, source: &Scratch, comments: &mut Vec<String>) -> Flow {
        self.scratch = match source {
            Scratch::Number(number) => *number,
            Scratch::Random { modulus, offset } => self.draw % modulus + offset,
            Scratch::Hash { family, modulus, offset } => {
                let client = self.packet.source.ip();
                if IpFamily::of(client) != *family {
                    return Flow::NoMatch;
                }
                hash::slot(client, *modulus) + offset
            }
            Scratch::Map { key, map } => {
                let Some(element) = self.find(key, map) else { return Flow::NoMatch };
                let Data::Values(data) = &element.data else { return Flow::NoMatch };
                let [Value::Number(number)] = data[..] else { return Flow::NoMatch };
                comments.push(element.comment.clone());
                number
            }
        };
        // Another draw is another number.
        if let Scratch::Random { modulus, .. } = source {
            self.draw /= modulus;
        }
        Flow::On
    }

    fn dnat(&mut self, key: &[Field], map: &str, comments: &mut Vec<String>) -> Flow {
        let Some(element) = self.find(key, map) else { return Flow::NoMatch };
        let Data::Values(data) = &element.data else { return Flow::NoMatch };
        let [Value::Address(address), Value::Port(port)] = data[..] else { return Flow::NoMatch };
        comments.push(element.comment.clone());
        self.destination = SocketAddr::new(address, port);
        self.translated = true;
        Flow::Accept
    }

    /// The element a packet's fields lead to.
    fn find(&self, key: &[Field], set: &str) -> Option<&Element> {
        let set: &Set = self.rules.sets.get(set)?;
        let values = self.values(key)?;
        if set.kind == SetKind::Interval {
            set.elements.iter().find(|(key, _)| key.contains(&values)).map(|(_, element)| element)
        } else {
            set.elements.get(&crate::value::Key::exact(values))
        }
    }

    /// The fields of the packet; `None` when it is of another family.
    fn values(&self, key: &[Field]) -> Option<Vec<Value>> {
        let of_family =
            |family, address: IpAddr| (IpFamily::of(address) == family).then_some(Value::Address(address));
        key.iter()
            .map(|field| match field {
                Field::Source(family) => of_family(*family, self.packet.source.ip()),
                Field::Destination(family) => of_family(*family, self.destination.ip()),
                Field::OriginalDestination(family) => of_family(*family, self.packet.destination.ip()),
                Field::Protocol => Some(Value::Protocol(self.packet.protocol)),
                Field::DestinationPort => Some(Value::Port(self.destination.port())),
                Field::OriginalPort => Some(Value::Port(self.packet.destination.port())),
                Field::Scratch => Some(Value::Number(self.scratch)),
                // Frames are not traced.
                Field::InputLink | Field::SourceMac | Field::DestinationMac => None,
            })
            .collect()
    }
}

fn matches(matches: bool) -> Flow {
    if matches { Flow::On } else { Flow::NoMatch }
}

fn flow(verdict: &Verdict) -> Flow {
    match verdict {
        Verdict::Accept => Flow::Accept,
        Verdict::Drop => Flow::End(Fate::Dropped),
        Verdict::Return => Flow::Back,
        Verdict::Jump(chain) => Flow::Enter { chain: chain.clone(), and_back: true },
        Verdict::Goto(chain) => Flow::Enter { chain: chain.clone(), and_back: false },
    }
}
