//! What `/etc/resolv.conf` says: whom a machine asks for names, and where it looks for short ones.

use std::net::{IpAddr, Ipv4Addr};

/// The part of a resolver's configuration that others go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, in order; never empty.
    pub nameservers: Vec<IpAddr>,
    /// Domains that short names are looked for in, in order.
    pub search: Vec<String>,
}

impl ResolvConf {
    /// Reads a file's text as resolv.conf(5) describes it; what cannot be read is passed over, as every resolver does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (mut nameservers, mut search) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                // A zone behind the address names a link of this machine.
                Some("nameserver") => nameservers
                    .extend(words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok())),
                // The last of these lines holds.
                Some("search") => search = words.map(str::to_owned).collect(),
                Some("domain") => search = words.take(1).map(str::to_owned).collect(),
                _ => {}
            }
        }
        if nameservers.is_empty() {
            nameservers.push(Ipv4Addr::LOCALHOST.into());
        }
        Self { nameservers, search }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domains_are_read() {
        let text = "# comment\ndomain old.example\n nameserver 192.0.2.53\nnameserver fe80::1%eth0\n; nameserver 192.0.2.1\n\
                    nameserver nonsense\nsearch corp.example example\noptions ndots:2\n";
        let read = ResolvConf::parse(text);
        assert_eq!(
            read.nameservers,
            ["192.0.2.53", "fe80::1"].map(|text| text.parse::<IpAddr>().expect("address"))
        );
        assert_eq!(read.search, ["corp.example", "example"]);
        assert_eq!(ResolvConf::parse("search a.example b.example\ndomain c.example").search, ["c.example"]);
    }

    #[test]
    fn without_a_server_the_local_machine_is_asked() {
        assert_eq!(ResolvConf::parse("").nameservers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
