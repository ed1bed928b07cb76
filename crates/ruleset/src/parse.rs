//! Reading the text of `text` back into a ruleset, for `fixed.nft`, scenario files and tests of drift.
//!
//! It reads what we print, with comment lines and blank lines, not all of nft's language.

use std::collections::BTreeMap;
use std::net::IpAddr;

use types::{IpFamily, LinkName, Prefix};

use crate::hash::HASH_SEED;
use crate::value::{
    Chain, Conntrack, Data, Element, Field, FieldType, Hook, HookPoint, Key, Kind, LinkBytes, Membership,
    Reject, Rule, Ruleset, Scratch, Set, SetKind, Statement, TableFamily, Value, Verdict,
};

/// Why a text is not a ruleset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {wanted}, found `{found}`")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What should stand there.
    pub wanted: String,
    /// What stands there; empty at the end of a line.
    pub found: String,
}

type Parsed<T> = Result<T, ParseError>;

/// The ruleset that prints as this text.
///
/// # Errors
/// The first line that is not in our form.
pub fn parse(text: &str) -> Parsed<Ruleset> {
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .map(|(index, text)| Line { number: index + 1, tokens: tokens(text), next: 0 })
        .filter(|line| !line.tokens.is_empty())
        .collect();
    let mut lines = lines.into_iter();
    let mut header = next_line(&mut lines)?;
    header.expect_all(&["table"])?;
    let family = match header.take("inet or bridge")?.as_str() {
        "inet" => TableFamily::Inet,
        "bridge" => TableFamily::Bridge,
        found => return Err(header.error("inet or bridge", found)),
    };
    header.expect_all(&[crate::fixed::TABLE, "{"])?;
    let mut rules = Ruleset::absent(family);
    loop {
        let mut line = next_line(&mut lines)?;
        let word = line.take("set, map, chain or }")?;
        if word == "}" {
            return Ok(rules);
        }
        let name = line.take("a name")?;
        line.expect_all(&["{"])?;
        match word.as_str() {
            "set" | "map" => {
                rules.sets.insert(name, parse_set(&mut lines)?);
            }
            "chain" => {
                rules.chains.insert(name, parse_chain(&mut lines)?);
            }
            _ => return Err(line.error("set, map, chain or }", &word)),
        }
    }
}

fn next_line(lines: &mut impl Iterator<Item = Line>) -> Parsed<Line> {
    lines.next().ok_or_else(|| ParseError { line: 0, wanted: "}".to_owned(), found: String::new() })
}

/// One line, cut into words.
struct Line {
    number: usize,
    tokens: Vec<String>,
    next: usize,
}

/// Words of a line: separated by space, a final comma apart, a quoted text as one word with its opening quote.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some((quoted, tail)) = rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            tokens.push(format!("\"{quoted}"));
            rest = tail.trim_start();
            continue;
        }
        let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word.strip_suffix(',') {
            Some("") | None => tokens.push(word.to_owned()),
            Some(word) => tokens.extend([word.to_owned(), ",".to_owned()]),
        }
        rest = tail.trim_start();
    }
    tokens
}

impl Line {
    fn error(&self, wanted: &str, found: &str) -> ParseError {
        ParseError { line: self.number, wanted: wanted.to_owned(), found: found.to_owned() }
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.next).map_or("", String::as_str)
    }

    /// The next word, which is no quoted text: only comments and names of links are.
    fn take(&mut self, wanted: &str) -> Parsed<String> {
        let token = self.take_any(wanted)?;
        if token.starts_with('"') { Err(self.error(wanted, &token)) } else { Ok(token) }
    }

    fn take_any(&mut self, wanted: &str) -> Parsed<String> {
        let token = self.tokens.get(self.next).cloned().ok_or_else(|| self.error(wanted, ""))?;
        self.next += 1;
        Ok(token)
    }

    /// Takes the next word if it is this one.
    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == word;
        self.next += usize::from(found);
        found
    }

    fn expect_all(&mut self, words: &[&str]) -> Parsed<()> {
        for word in words {
            let found = self.take(word)?;
            if found != *word {
                return Err(self.error(word, &found));
            }
        }
        Ok(())
    }

    fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let token = self.take("a number")?;
        let digits = token.trim_end_matches([';', 's']);
        digits.parse().map_err(|_| self.error("a number", &token))
    }

    /// A name after `@`.
    fn set_name(&mut self) -> Parsed<String> {
        let token = self.take("@ and a name")?;
        token.strip_prefix('@').map(str::to_owned).ok_or_else(|| self.error("@ and a name", &token))
    }
}

// === sets ===

fn parse_set(lines: &mut impl Iterator<Item = Line>) -> Parsed<Set> {
    let mut line = next_line(lines)?;
    line.expect_all(&["type"])?;
    let key = parse_types(&mut line)?;
    let data = match line.eat(":") {
        false => Data::None,
        true if line.eat("verdict") => Data::Verdict(()),
        true => Data::Values(parse_types(&mut line)?),
    };
    let mut set = Set { key, data, kind: SetKind::Exact, elements: BTreeMap::new() };
    loop {
        let mut line = next_line(lines)?;
        match line.take("counter, flags, size, elements or }")?.as_str() {
            "}" => return Ok(set),
            "counter" => set.kind = SetKind::Counted,
            "size" => {}
            "flags" if line.eat("interval") => set.kind = SetKind::Interval,
            "flags" if line.eat("dynamic,timeout") => set.kind = SetKind::Dynamic,
            "elements" => {
                line.expect_all(&["=", "{"])?;
                parse_elements(lines, &mut set)?;
            }
            found => return Err(line.error("counter, flags, size, elements or }", found)),
        }
    }
}

fn parse_types(line: &mut Line) -> Parsed<Vec<FieldType>> {
    let mut types = Vec::new();
    loop {
        let word = line.take("a type")?;
        types.push(match word.as_str() {
            "ipv4_addr" => FieldType::Address(IpFamily::V4),
            "ipv6_addr" => FieldType::Address(IpFamily::V6),
            "inet_proto" => FieldType::Protocol,
            "inet_service" => FieldType::Port,
            "classid" => FieldType::Number,
            "ifname" => FieldType::Link,
            "ether_addr" => FieldType::Mac,
            _ => return Err(line.error("a type", &word)),
        });
        if !line.eat(".") {
            return Ok(types);
        }
    }
}

fn parse_elements(lines: &mut impl Iterator<Item = Line>, set: &mut Set) -> Parsed<()> {
    loop {
        let mut line = next_line(lines)?;
        if line.eat("}") {
            return Ok(());
        }
        let key = parse_key(&mut line, set)?;
        let comment = parse_comment(&mut line)?;
        let data = match &set.data {
            Data::None => Data::None,
            Data::Verdict(()) => {
                line.expect_all(&[":"])?;
                let word = line.take("a verdict")?;
                Data::Verdict(parse_verdict(&mut line, &word)?)
            }
            Data::Values(types) => {
                line.expect_all(&[":"])?;
                Data::Values(parse_values(&mut line, types)?.into_iter().map(|(first, _)| first).collect())
            }
        };
        line.eat(",");
        set.elements.insert(key, Element { data, comment });
    }
}

fn parse_key(line: &mut Line, set: &Set) -> Parsed<Key> {
    let (first, last) = parse_values(line, &set.key)?.into_iter().unzip();
    Ok(if set.kind == SetKind::Interval { Key::range(first, last) } else { Key::exact(first) })
}

/// A concatenation, each part with its lower and upper end.
fn parse_values(line: &mut Line, types: &[FieldType]) -> Parsed<Vec<(Value, Value)>> {
    let mut values = Vec::new();
    for (index, kind) in types.iter().enumerate() {
        if index > 0 {
            line.expect_all(&["."])?;
        }
        let token = line.take_any("a value")?;
        values
            .push(value_range(&token, *kind).ok_or_else(|| line.error("a value of the set's type", &token))?);
    }
    Ok(values)
}

fn value_range(text: &str, kind: FieldType) -> Option<(Value, Value)> {
    if let (FieldType::Address(_), true) = (kind, text.contains('/')) {
        let prefix: Prefix = text.parse().ok()?;
        return Some((Value::Address(prefix.first()), Value::Address(prefix.last())));
    }
    if let Some(name) = text.strip_prefix('"') {
        // `IFNAMSIZ` less the terminating zero byte.
        let is_name = (1..16).contains(&name.len()) && !name.contains('\0');
        let name = Value::Link(LinkBytes::new(&LinkName::from(name)));
        return (kind == FieldType::Link && is_name).then_some((name, name));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((value(first, kind)?, value(last, kind)?))
}

fn value(text: &str, kind: FieldType) -> Option<Value> {
    Some(match kind {
        FieldType::Address(family) => {
            Value::Address(text.parse::<IpAddr>().ok().filter(|address| IpFamily::of(*address) == family)?)
        }
        FieldType::Protocol => Value::Protocol(protocol(text)?),
        FieldType::Port => Value::Port(text.parse().ok()?),
        FieldType::Number => Value::Number(number(text)?),
        FieldType::Mac => Value::Mac(text.to_owned().try_into().ok()?),
        // Only between quotes.
        FieldType::Link => return None,
    })
}

fn protocol(text: &str) -> Option<u8> {
    match text {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        _ => text.parse().ok(),
    }
}

fn number(text: &str) -> Option<u32> {
    if text == "none" {
        return Some(0);
    }
    let (major, minor) = text.split_once(':')?;
    let half = |text| u16::from_str_radix(text, 16).ok().map(u32::from);
    Some(half(major)? << 16 | half(minor)?)
}

fn parse_comment(line: &mut Line) -> Parsed<String> {
    if !line.eat("comment") {
        return Ok(String::new());
    }
    let token = line.take_any("a quoted text")?;
    token.strip_prefix('"').map(str::to_owned).ok_or_else(|| line.error("a quoted text", &token))
}

// === chains ===

fn parse_chain(lines: &mut impl Iterator<Item = Line>) -> Parsed<Chain> {
    let mut chain = Chain::default();
    loop {
        let mut line = next_line(lines)?;
        match line.peek() {
            "}" => return Ok(chain),
            "type" => chain.hook = Some(parse_hook(&mut line)?),
            _ => chain.rules.push(parse_rule(&mut line)?),
        }
    }
}

fn parse_hook(line: &mut Line) -> Parsed<Hook> {
    line.expect_all(&["type"])?;
    let kind = match line.take("filter or nat")?.as_str() {
        "filter" => Kind::Filter,
        "nat" => Kind::Nat,
        found => return Err(line.error("filter or nat", found)),
    };
    line.expect_all(&["hook"])?;
    let point = match line.take("a hook")?.as_str() {
        "prerouting" => HookPoint::Prerouting,
        "input" => HookPoint::Input,
        "forward" => HookPoint::Forward,
        "output" => HookPoint::Output,
        "postrouting" => HookPoint::Postrouting,
        found => return Err(line.error("a hook", found)),
    };
    line.expect_all(&["priority"])?;
    let priority = line.number()?;
    line.expect_all(&["policy", "accept;"])?;
    Ok(Hook { kind, point, priority })
}

fn parse_rule(line: &mut Line) -> Parsed<Rule> {
    let mut rule = Rule::default();
    while !line.peek().is_empty() {
        if line.peek() == "comment" {
            rule.comment = parse_comment(line)?;
        } else {
            rule.statements.push(parse_statement(line)?);
        }
    }
    Ok(rule)
}

fn parse_statement(line: &mut Line) -> Parsed<Statement> {
    match line.peek() {
        "ip" | "ip6" | "meta" | "th" | "ether" => parse_match(line),
        "iifname" => parse_input_link(line),
        "fib" => {
            line.expect_all(&["fib", "saddr", ".", "iif", "oif", "missing"])?;
            Ok(Statement::ForgedSource)
        }
        "ct" => parse_conntrack(line),
        _ => {
            let word = line.take("a statement")?;
            parse_action(line, &word)
        }
    }
}

fn parse_action(line: &mut Line, word: &str) -> Parsed<Statement> {
    Ok(match word {
        "icmpv6" => {
            line.expect_all(&["type", "133-137"])?;
            Statement::NeighbourDiscovery
        }
        "dnat" => {
            let family = parse_family(line)?;
            line.expect_all(&["to"])?;
            let key = parse_fields(line)?;
            line.expect_all(&["map"])?;
            Statement::Dnat { family, key, map: line.set_name()? }
        }
        "update" => {
            let map = line.set_name()?;
            line.expect_all(&["{"])?;
            let key = parse_fields(line)?;
            line.expect_all(&["timeout"])?;
            let seconds = line.number()?;
            line.expect_all(&[":"])?;
            let data = parse_fields(line)?;
            line.expect_all(&["}"])?;
            Statement::Update { map, key, seconds, data }
        }
        "masquerade" => {
            line.expect_all(&["fully-random"])?;
            Statement::Masquerade
        }
        "reject" => {
            line.expect_all(&["with"])?;
            Statement::Reject(if line.eat("tcp") {
                line.expect_all(&["reset"])?;
                Reject::TcpReset
            } else {
                line.expect_all(&["icmpx", "port-unreachable"])?;
                Reject::PortUnreachable
            })
        }
        "notrack" => Statement::Notrack,
        "counter" => Statement::Counter,
        "foreign" => Statement::Foreign,
        _ => Statement::Verdict(parse_verdict(line, word)?),
    })
}

/// The links of Pods, or a match whose key begins with the link.
fn parse_input_link(line: &mut Line) -> Parsed<Statement> {
    let is_match = line.tokens.get(line.next + 1).is_some_and(|next| next == ".");
    if is_match {
        return parse_match(line);
    }
    line.expect_all(&["iifname"])?;
    match line.take_any("a link's name")?.as_str() {
        "\"sl*" => Ok(Statement::FromPodLink),
        link => Err(line.error("the links of Pods", link)),
    }
}

fn parse_verdict(line: &mut Line, word: &str) -> Parsed<Verdict> {
    Ok(match word {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(line.take("a chain")?),
        "goto" => Verdict::Goto(line.take("a chain")?),
        _ => return Err(line.error("a statement", word)),
    })
}

/// What connection tracking says of the packet, or a match whose key begins with what the client aimed at.
fn parse_conntrack(line: &mut Line) -> Parsed<Statement> {
    if line.tokens.get(line.next + 1).is_some_and(|next| next == "original") {
        return parse_match(line);
    }
    line.expect_all(&["ct"])?;
    let (what, value) = (line.take("state or status")?, line.take("a value")?);
    Ok(Statement::Conntrack(match (what.as_str(), value.as_str()) {
        ("state", "established,related") => Conntrack::Known,
        ("state", "invalid") => Conntrack::Invalid,
        ("status", "dnat") => Conntrack::Translated,
        _ => return Err(line.error("a ct match of ours", &format!("{what} {value}"))),
    }))
}

/// A statement that begins with fields of the packet.
fn parse_match(line: &mut Line) -> Parsed<Statement> {
    let key = parse_fields(line)?;
    let word = line.take("a set, a map or a value")?;
    if let Some(set) = word.strip_prefix('@') {
        return Ok(Statement::Lookup { key, set: set.to_owned(), is: Membership::In });
    }
    Ok(match (word.as_str(), key.as_slice()) {
        ("!=", _) => Statement::Lookup { key, set: line.set_name()?, is: Membership::NotIn },
        ("vmap", _) => Statement::Dispatch { key, map: line.set_name()? },
        ("set", [Field::Scratch]) => Statement::Scratch(parse_scratch(line)?),
        (name, [Field::Protocol]) => {
            Statement::Protocol(protocol(name).ok_or_else(|| line.error("a protocol", name))?)
        }
        (found, _) => return Err(line.error("a set, a map or a value", found)),
    })
}

fn parse_scratch(line: &mut Line) -> Parsed<Scratch> {
    if line.eat("numgen") {
        line.expect_all(&["random", "mod"])?;
        let modulus = line.number()?;
        let offset = if line.eat("offset") { line.number()? } else { 0 };
        return Ok(Scratch::Random { modulus, offset });
    }
    if line.eat("jhash") {
        let family = parse_family(line)?;
        line.expect_all(&["saddr", "mod"])?;
        let modulus = line.number()?;
        line.expect_all(&["seed", &format!("{HASH_SEED:#x}")])?;
        let offset = if line.eat("offset") { line.number()? } else { 0 };
        return Ok(Scratch::Hash { family, modulus, offset });
    }
    if let Some(number) = number(line.peek()) {
        line.next += 1;
        return Ok(Scratch::Number(number));
    }
    let key = parse_fields(line)?;
    line.expect_all(&["map"])?;
    Ok(Scratch::Map { key, map: line.set_name()? })
}

fn parse_family(line: &mut Line) -> Parsed<IpFamily> {
    let word = line.take("ip or ip6")?;
    match word.as_str() {
        "ip" => Ok(IpFamily::V4),
        "ip6" => Ok(IpFamily::V6),
        _ => Err(line.error("ip or ip6", &word)),
    }
}

fn parse_fields(line: &mut Line) -> Parsed<Vec<Field>> {
    let mut fields = vec![parse_field(line)?];
    while line.eat(".") {
        fields.push(parse_field(line)?);
    }
    Ok(fields)
}

fn parse_field(line: &mut Line) -> Parsed<Field> {
    let first = line.take("a field")?;
    if first == "iifname" {
        return Ok(Field::InputLink);
    }
    let second = line.take("a field")?;
    Ok(match (first.as_str(), second.as_str()) {
        ("ip", "saddr") => Field::Source(IpFamily::V4),
        ("ip6", "saddr") => Field::Source(IpFamily::V6),
        ("ip", "daddr") => Field::Destination(IpFamily::V4),
        ("ip6", "daddr") => Field::Destination(IpFamily::V6),
        ("meta", "l4proto") => Field::Protocol,
        ("meta", "priority") => Field::Scratch,
        ("th", "dport") => Field::DestinationPort,
        ("ether", "saddr") => Field::SourceMac,
        ("ether", "daddr") => Field::DestinationMac,
        ("ct", "original") if line.eat("proto-dst") => Field::OriginalPort,
        ("ct", "original") => {
            let family = parse_family(line)?;
            line.expect_all(&["daddr"])?;
            Field::OriginalDestination(family)
        }
        _ => return Err(line.error("a field", &format!("{first} {second}"))),
    })
}
