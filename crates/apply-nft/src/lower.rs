//! A rule's statements as the kernel's expressions.

use ruleset::{
    Conntrack, Field, FieldType, HASH_SEED, Membership, Reject, Rule, Scratch, Statement, Verdict,
};
use types::IpFamily;

use crate::expression::{Code, Expression, Register, Target};

// `enum nft_meta_keys`.
const META_FRAME_PROTOCOL: u32 = 1;
const META_PRIORITY: u32 = 2;
const META_INPUT_NAME: u32 = 6;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
// `enum nft_fib_result` and `enum nft_fib_flags`.
const FIB_OUTPUT_LINK: u32 = 1;
const FIB_SOURCE: u32 = 1;
const FIB_INPUT_LINK: u32 = 1 << 3;
const FIB_PRESENT: u32 = 1 << 5;
// `enum nft_ct_keys`.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_DESTINATION_PORT: u32 = 12;
const CT_DESTINATION_V4: u32 = 20;
const CT_DESTINATION_V6: u32 = 22;
/// `IP_CT_DIR_ORIGINAL`.
const ORIGINAL: u8 = 0;
// `enum nft_payload_bases`.
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
// `enum nft_cmp_ops`.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
const FULLY_RANDOM: u32 = 1 << 4;
/// ICMPv6 (IANA protocol 58).
const ICMPV6: u8 = 58;

/// The rule in expressions; `None` for a rule with a statement that cannot be made.
pub(crate) fn lower(rule: &Rule) -> Option<Vec<Expression>> {
    let is_of_frames = |statement: &Statement| match statement {
        Statement::Lookup { key, .. } => key
            .iter()
            .any(|field| matches!(field, Field::InputLink | Field::SourceMac | Field::DestinationMac)),
        _ => false,
    };
    let of_frames = rule.statements.iter().any(is_of_frames);
    let mut lowering = Lowering { out: Vec::new(), family: None, of_frames };
    for statement in &rule.statements {
        lowering.statement(statement)?;
    }
    Some(lowering.out)
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
fn family_number(family: IpFamily) -> u8 {
    match family {
        IpFamily::V4 => 2,
        IpFamily::V6 => 10,
    }
}

/// A verdict as the kernel's code.
pub(crate) fn verdict_code(verdict: &Verdict) -> Code {
    // `NF_ACCEPT`, `NF_DROP` of `linux/netfilter.h`; `enum nft_verdicts`.
    let (code, chain) = match verdict {
        Verdict::Accept => (1, None),
        Verdict::Drop => (0, None),
        Verdict::Return => (-5, None),
        Verdict::Jump(chain) => (-3, Some(chain.clone())),
        Verdict::Goto(chain) => (-4, Some(chain.clone())),
    };
    Code { code, chain }
}

struct Lowering {
    out: Vec<Expression>,
    /// The family already checked in this rule: a table of family `inet` sees both.
    family: Option<IpFamily>,
    /// Whether the rule looks at frames, of which a table of family `bridge` sees all kinds.
    of_frames: bool,
}

impl Lowering {
    fn statement(&mut self, statement: &Statement) -> Option<()> {
        match statement {
            Statement::Lookup { key, set, is } => {
                self.load(key, 0);
                self.lookup(set, None, *is == Membership::NotIn);
            }
            Statement::Protocol(number) => self.protocol(*number),
            Statement::Conntrack(what) => self.conntrack(*what),
            Statement::NeighbourDiscovery => {
                self.check_family(IpFamily::V6);
                self.protocol(ICMPV6);
                self.out.push(Expression::Payload { base: TRANSPORT_HEADER, offset: 0, len: 1, to: 0 });
                self.compare(AT_LEAST, vec![133]);
                self.compare(AT_MOST, vec![137]);
            }
            Statement::FromPodLink => {
                self.out.push(Expression::Meta { key: META_INPUT_NAME, to: 0 });
                self.compare(EQUAL, b"sl".to_vec());
            }
            Statement::ForgedSource => self.forged_source(),
            Statement::Scratch(source) => self.scratch(source),
            Statement::Dispatch { key, map } => {
                self.load(key, 0);
                self.lookup(map, Some(Target::Verdict), false);
            }
            Statement::Dnat { family, key, map } => {
                self.load(key, 0);
                self.lookup(map, Some(Target::Register(0)), false);
                let port = width(FieldType::Address(*family)) / 4;
                self.out.push(Expression::Dnat { family: family_number(*family).into(), address: 0, port });
            }
            Statement::Update { map, key, seconds, data } => {
                let after = self.load(key, 0);
                // Aligned as `nft` aligns it, so that it lists what we write.
                let data_at = after.next_multiple_of(4);
                self.load(data, data_at);
                let milliseconds = u64::from(*seconds) * 1000;
                self.out.push(Expression::Update { set: map.clone(), key: 0, data: data_at, milliseconds });
            }
            Statement::Masquerade => self.out.push(Expression::Masquerade { flags: FULLY_RANDOM }),
            // `NFT_REJECT_TCP_RST`; `NFT_REJECT_ICMPX_UNREACH` with `NFT_REJECT_ICMPX_PORT_UNREACH`.
            Statement::Reject(Reject::TcpReset) => self.out.push(Expression::Reject { kind: 1, code: 0 }),
            Statement::Reject(Reject::PortUnreachable) => {
                self.out.push(Expression::Reject { kind: 2, code: 1 });
            }
            Statement::Notrack => self.out.push(Expression::Notrack),
            Statement::Counter => self.out.push(Expression::Counter),
            Statement::Verdict(verdict) => self.out.push(Expression::Verdict(verdict_code(verdict))),
            Statement::Foreign => return None,
        }
        Some(())
    }

    fn forged_source(&mut self) {
        let flags = FIB_SOURCE | FIB_INPUT_LINK | FIB_PRESENT;
        self.out.push(Expression::Fib { to: 0, result: FIB_OUTPUT_LINK, flags });
        self.compare(EQUAL, vec![0]);
    }

    fn scratch(&mut self, source: &Scratch) {
        match source {
            Scratch::Number(number) => {
                self.out.push(Expression::Value { to: 0, value: number.to_ne_bytes().to_vec() });
            }
            Scratch::Random { modulus, offset } => {
                self.out.push(Expression::Random { to: 0, modulus: *modulus, offset: *offset });
            }
            Scratch::Hash { family, modulus, offset } => {
                self.load(&[Field::Source(*family)], 0);
                let len = width(FieldType::Address(*family));
                let (modulus, offset, seed) = (*modulus, *offset, HASH_SEED);
                self.out.push(Expression::Hash { from: 0, len, modulus, seed, offset, to: 0 });
            }
            Scratch::Map { key, map } => {
                self.load(key, 0);
                self.lookup(map, Some(Target::Register(0)), false);
            }
        }
        self.out.push(Expression::MetaSet { key: META_PRIORITY, from: 0 });
    }

    fn conntrack(&mut self, what: Conntrack) {
        // `IP_CT_…` as bits of `ct state` (`NF_CT_STATE_…`), and `IPS_DST_NAT` of `ct status`.
        let (key, bits) = match what {
            Conntrack::Known => (CT_STATE, 2u32 | 4),
            Conntrack::Invalid => (CT_STATE, 1),
            Conntrack::Translated => (CT_STATUS, 0x20),
        };
        self.out.push(Expression::Conntrack { key, direction: None, to: 0 });
        self.out.push(Expression::Mask { register: 0, mask: bits.to_ne_bytes().to_vec() });
        self.compare(NOT_EQUAL, vec![0; 4]);
    }

    fn protocol(&mut self, number: u8) {
        self.out.push(Expression::Meta { key: META_PROTOCOL, to: 0 });
        self.compare(EQUAL, vec![number]);
    }

    fn compare(&mut self, op: u32, value: Vec<u8>) {
        self.out.push(Expression::Compare { register: 0, op, value });
    }

    fn lookup(&mut self, set: &str, to: Option<Target>, inverted: bool) {
        self.out.push(Expression::Lookup { set: set.to_owned(), from: 0, to, inverted });
    }

    fn check_family(&mut self, family: IpFamily) {
        if self.family != Some(family) {
            self.family = Some(family);
            let (key, value) = match (self.of_frames, family) {
                (false, _) => (META_FAMILY, vec![family_number(family)]),
                // `ETH_P_IP` and `ETH_P_IPV6`.
                (true, IpFamily::V4) => (META_FRAME_PROTOCOL, vec![0x08, 0x00]),
                (true, IpFamily::V6) => (META_FRAME_PROTOCOL, vec![0x86, 0xdd]),
            };
            self.out.push(Expression::Meta { key, to: 0 });
            self.compare(EQUAL, value);
        }
    }

    /// Loads a concatenation into consecutive registers; the first register after it.
    fn load(&mut self, key: &[Field], first: Register) -> Register {
        for field in key {
            if let Field::Source(family) | Field::Destination(family) = field {
                self.check_family(*family);
            }
        }
        let mut to = first;
        for field in key {
            let len = width(field.field_type());
            let network = |offset| Expression::Payload { base: NETWORK_HEADER, offset, len, to };
            let original = |key| Expression::Conntrack { key, direction: Some(ORIGINAL), to };
            self.out.push(match field {
                // Offsets in the headers of RFC 791 §3.1 and RFC 8200 §3.
                Field::Source(IpFamily::V4) => network(12),
                Field::Source(IpFamily::V6) => network(8),
                Field::Destination(IpFamily::V4) => network(16),
                Field::Destination(IpFamily::V6) => network(24),
                Field::Protocol => Expression::Meta { key: META_PROTOCOL, to },
                Field::DestinationPort => {
                    Expression::Payload { base: TRANSPORT_HEADER, offset: 2, len: 2, to }
                }
                Field::Scratch => Expression::Meta { key: META_PRIORITY, to },
                Field::OriginalDestination(IpFamily::V4) => original(CT_DESTINATION_V4),
                Field::OriginalDestination(IpFamily::V6) => original(CT_DESTINATION_V6),
                Field::OriginalPort => original(CT_DESTINATION_PORT),
                Field::InputLink => Expression::Meta { key: META_INPUT_NAME, to },
                // Offsets in an Ethernet header (IEEE 802.3, clause 3.1.1).
                Field::SourceMac => Expression::Payload { base: LINK_HEADER, offset: 6, len, to },
                Field::DestinationMac => Expression::Payload { base: LINK_HEADER, offset: 0, len, to },
            });
            to += len.div_ceil(4);
        }
        to
    }
}

/// Bytes of a value of this type, without padding.
pub(crate) fn width(kind: FieldType) -> u32 {
    match kind {
        FieldType::Address(IpFamily::V4) | FieldType::Number => 4,
        FieldType::Address(IpFamily::V6) | FieldType::Link => 16,
        FieldType::Mac => 6,
        FieldType::Protocol => 1,
        FieldType::Port => 2,
    }
}

#[cfg(test)]
mod tests {
    use crate::attribute::{Attributes, Head, Message};

    use super::*;

    #[test]
    fn every_rule_of_ours_survives_the_wire() {
        let remember = ["remember-10800".to_owned()];
        let rules = ruleset::fixed_rules();
        let frames = ruleset::fixed_frame_rules();
        for chain in rules.chains.keys().chain(frames.chains.keys()).chain(&remember) {
            for rule in ruleset::known_rules(chain) {
                let lowered = lower(&rule).expect("every statement that is rendered can be made");
                let mut message = Message::new(Head { kind: 0, flags: 0, family: 0, resource: 0 });
                lowered.iter().for_each(|expression| expression.put(&mut message));
                let bytes = message.finish();
                // After `struct nlmsghdr` and `struct nfgenmsg`.
                let read: Option<Vec<Expression>> = Attributes::of(&bytes[20..])
                    .map(|(_, element)| Expression::of(Attributes::of(element)))
                    .collect();
                assert_eq!(read, Some(lowered), "{chain}: {rule}");
            }
        }
    }

    #[test]
    fn rules_of_a_chain_are_told_apart_by_their_expressions() {
        for chain in ruleset::fixed_rules().chains.keys() {
            let rules = ruleset::known_rules(chain);
            for (index, rule) in rules.iter().enumerate() {
                let twins = rules[..index].iter().filter(|other| lower(other) == lower(rule));
                twins.for_each(|other| assert_eq!(other, rule, "{chain}"));
            }
        }
    }
}
