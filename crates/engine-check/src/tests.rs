//! A healthy node is all good, and each thing that is broken on it is named.

use types::{PodLink, SubnetAddress};

use super::*;

fn mk_link(name: &str, address: &str, mtu: u32) -> Link {
    let address: SubnetAddress = address.parse().unwrap();
    Link {
        name: name.to_owned(),
        kind: String::new(),
        is_ours: name.starts_with("sl") || name.starts_with("sealane"),
        is_up: true,
        mtu,
        addresses: vec![address],
        tunnel: None,
    }
}

fn mk_seen() -> Seen {
    let settings = [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/eth0/rp_filter", "2"),
        ("net/ipv4/conf/sealane-vx/rp_filter", "2"),
    ];
    let mut tunnel = mk_link("sealane-vx", "10.244.0.0/32", 1450);
    (tunnel.kind, tunnel.tunnel) = ("vxlan".to_owned(), Some((8472, false)));
    let route = |destination: &str, link: &str, is_ours| Route {
        destination: destination.parse().unwrap(),
        link: link.to_owned(),
        is_ours,
    };
    let link = PodLink { mtu: 65_535, path_mtu: 1450, ..PodLink::default() };
    let pod_cidrs = vec!["10.244.0.0/24".parse().unwrap()];
    Seen {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        links: vec![mk_link("eth0", "172.31.0.11/24", 1500), tunnel],
        routes: vec![
            route("0.0.0.0/0", "eth0", false),
            route("172.31.0.0/24", "eth0", false),
            route("10.244.1.0/24", "sealane-vx", true),
        ],
        chains: Ok(Vec::new()),
        unread_tables: std::collections::BTreeMap::new(),
        features: vec![Feature { name: "VXLAN links", needs: "CONFIG_VXLAN", outcome: Ok(()) }],
        conntrack: Some((10, 1000)),
        udp_ports: [8472].into(),
        network: Ok(Some(types::NodeNetwork { pod_cidrs, link })),
        agent: Ok(()),
        cni: Some(Ok(vec![mk_file("05-sealane", &["sealane"])])),
    }
}

fn mk_file(name: &str, plugins: &[&str]) -> CniFile {
    let plugins = plugins.iter().map(|plugin| (*plugin).to_owned()).collect();
    CniFile { path: format!("/etc/cni/net.d/{name}.conflist"), plugins }
}

fn mk_expected() -> Expected {
    Expected {
        pod_cidrs: ["10.244.0.0/16".parse().unwrap()].into(),
        service_cidrs: ["10.96.0.0/16".parse().unwrap()].into(),
        unknown_services: std::collections::BTreeSet::new(),
        underlay_link: "eth0".to_owned(),
    }
}

/// What is not good after something was broken.
fn broken(spoil: impl FnOnce(&mut Seen, &mut Expected)) -> Vec<(Verdict, &'static str, String)> {
    let (mut seen, mut expected) = (mk_seen(), mk_expected());
    spoil(&mut seen, &mut expected);
    let results = check(&seen, &expected).into_iter();
    results
        .filter(|result| result.verdict != Verdict::Good)
        .map(|one| (one.verdict, one.check, one.object))
        .collect()
}

fn one(check: &'static str, object: &str) -> Vec<(Verdict, &'static str, String)> {
    vec![(Verdict::Broken, check, object.to_owned())]
}

fn on_bridge(seen: &mut Seen) {
    let Ok(Some(network)) = &mut seen.network else { return };
    network.link.mode = types::NetworkMode::Bridge;
    let mut bridge = mk_link("sealane-br", "192.0.2.1/32", 65_535);
    bridge.addresses.clear();
    seen.links.push(bridge);
    let destination = network.pod_cidrs[0];
    seen.routes.push(Route { destination, link: "sealane-br".to_owned(), is_ours: true });
}

#[test]
fn a_bridge_that_is_wanted_is_missed() {
    assert_eq!(broken(|seen, _| on_bridge(seen)), []);
    let spoiled = |spoil: fn(&mut Seen)| {
        broken(|seen, _| {
            on_bridge(seen);
            spoil(seen);
        })
    };
    assert_eq!(spoiled(|seen| drop(seen.links.pop())), one("bridge", "sealane-br"));
    assert_eq!(spoiled(|seen| seen.links.last_mut().unwrap().is_up = false), one("bridge", "sealane-br"));
    assert_eq!(spoiled(|seen| drop(seen.routes.pop())), one("bridge", "sealane-br"));
}

#[test]
fn a_healthy_node_is_all_good() {
    assert_eq!(broken(|_, _| {}), []);
}

#[test]
fn settings_are_named() {
    let set = |name: &'static str, value: &'static str| {
        broken(move |seen, _| drop(seen.settings.insert(name.to_owned(), value.to_owned())))
    };
    assert_eq!(set("net/ipv4/ip_forward", "0"), one("forwarding", "net/ipv4/ip_forward"));
    assert_eq!(set("net/ipv4/conf/eth0/rp_filter", "1"), one("reverse path", "net/ipv4/conf/eth0/rp_filter"));
    assert_eq!(set("net/ipv4/conf/all/rp_filter", "1"), [], "loose links win over a strict setting for all");
}

#[test]
fn routers_that_are_not_heard_are_named() {
    const NAME: &str = "net/ipv6/conf/eth0/accept_ra";
    let judge = |accept_ra: &'static str, has_route| {
        broken(move |seen, _| {
            let Ok(Some(network)) = &mut seen.network else { panic!("there is one") };
            network.pod_cidrs.push("fd00:10:244::/64".parse().unwrap());
            seen.settings.insert("net/ipv6/conf/all/forwarding".to_owned(), "1".to_owned());
            seen.settings.insert(NAME.to_owned(), accept_ra.to_owned());
            if has_route {
                let everything = "::/0".parse().unwrap();
                seen.routes.push(Route { destination: everything, link: "eth0".into(), is_ours: false });
            }
        })
    };
    assert_eq!(judge("1", false), [(Verdict::Warning, "routers", NAME.to_owned())]);
    assert_eq!(
        judge("1", true),
        [],
        "that route is nobody's advertisement: the kernel would have dropped it"
    );
    assert_eq!(judge("2", false), []);
    assert_eq!(judge("0", false), []);
}

#[test]
fn rules_of_others_are_named() {
    let chain = |policy, rules, dropping| Chain {
        name: "inet other forward".to_owned(),
        hook: Hook::Forward,
        reached_from: None,
        policy,
        rules,
        dropping,
    };
    let judge = |chain| broken(move |seen, _| seen.chains = Ok(vec![chain]));
    let warned = vec![(Verdict::Warning, "firewall", "chain inet other forward".to_owned())];
    assert_eq!(judge(chain(Policy::Drop, 0, 0)), one("firewall", "chain inet other forward"));
    assert_eq!(judge(chain(Policy::Drop, 3, 0)), warned);
    assert_eq!(judge(chain(Policy::Accept, 3, 1)), warned);
    assert_eq!(judge(chain(Policy::Accept, 3, 0)), []);
    let user = Chain {
        name: "ip filter DOCKER-USER".to_owned(),
        reached_from: Some("FORWARD".to_owned()),
        ..chain(Policy::Accept, 2, 1)
    };
    assert_eq!(judge(user), [(Verdict::Warning, "firewall", "chain ip filter DOCKER-USER".to_owned())]);
    let unread = |seen: &mut Seen| {
        drop(seen.unread_tables.insert("iptables-legacy filter".to_owned(), "no right".to_owned()));
    };
    assert_eq!(
        broken(|seen, _| unread(seen)),
        [(Verdict::Warning, "firewall", "iptables-legacy filter".to_owned())]
    );
    assert_eq!(broken(|seen, _| seen.chains = Err("no right".into())), one("firewall", "nftables"));
}

#[test]
fn ranges_that_meet_are_named() {
    let route = Route { destination: "10.244.7.0/24".parse().unwrap(), link: "eth0".into(), is_ours: false };
    assert_eq!(
        broken(|seen, _| seen.routes.push(route)),
        one("address ranges", "route 10.244.7.0/24 dev eth0")
    );
    let link = mk_link("eth1", "10.96.3.1/24", 1500);
    assert_eq!(
        broken(|seen, _| seen.links.push(link)),
        one("address ranges", "address 10.96.3.1/24 of eth1")
    );
    let services = ["10.244.128.0/20".parse().unwrap()];
    assert_eq!(
        broken(|_, expected| expected.service_cidrs = services.into()),
        one("address ranges", "10.244.0.0/16, 10.244.128.0/20")
    );
}

#[test]
fn sizes_and_ports_are_named() {
    assert_eq!(broken(|seen, _| seen.links[0].mtu = 1400), one("MTU", "sealane-vx"));
    assert_eq!(broken(|seen, _| seen.links[1].mtu = 1300), one("MTU", "sealane-vx"));
    let no_tunnel = broken(|seen, _| drop(seen.links.remove(1)));
    assert_eq!(no_tunnel, one("tunnel port", "UDP port 8472"), "somebody else has it");
    assert_eq!(broken(|seen, _| seen.links[0].is_up = false), one("underlay", "eth0"));
    let foreign = Link { is_ours: false, ..mk_link("sealane0", "192.0.2.1/32", 1500) };
    assert_eq!(broken(|seen, _| seen.links.push(foreign)), one("foreign link", "sealane0"));
}

#[test]
fn what_is_missing_is_named() {
    let why = || "not supported".to_owned();
    assert_eq!(broken(|seen, _| seen.features[0].outcome = Err(why())), one("kernel", "VXLAN links"));
    let full = "net/netfilter/nf_conntrack_max";
    assert_eq!(broken(|seen, _| seen.conntrack = Some((950, 1000))), one("conntrack table", full));
    assert_eq!(broken(|seen, _| seen.agent = Err(why())), one("agent", "agent.sock"));
    assert_eq!(broken(|seen, _| seen.network = Ok(None)), one("state directory", "network.json"));
    assert_eq!(broken(|seen, _| seen.cni = Some(Ok(Vec::new()))), one("CNI configuration", ""));
    let flannel = |plugins: &[&str]| vec![mk_file("00-flannel", plugins)];
    let named = one("CNI configuration", "/etc/cni/net.d/00-flannel.conflist");
    assert_eq!(broken(|seen, _| seen.cni = Some(Ok(flannel(&["flannel", "portmap"])))), named);
    assert_eq!(broken(|seen, _| seen.cni = Some(Ok(flannel(&[])))), named);
    // Behind the other one, there is no Pod range to tell of.
    let chained = |seen: &mut Seen| {
        (seen.cni, seen.network) = (Some(Ok(flannel(&["flannel", "sealane"]))), Ok(None));
    };
    assert_eq!(broken(|seen, _| chained(seen)), []);
}

#[test]
fn ranges_that_nobody_named_are_those_of_the_node() {
    let completed = |own: &[&str]| {
        let pod_cidrs = own.iter().map(|range| range.parse().unwrap()).collect();
        let network = types::NodeNetwork { pod_cidrs, link: PodLink::default() };
        let all = Expected::default().completed(Some(&network));
        let texts = |ranges: &std::collections::BTreeSet<types::Prefix>| {
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        (texts(&all.pod_cidrs), texts(&all.service_cidrs), all.unknown_services.len())
    };
    let told = |pods: &str, services: &str, unknown| (pods.to_owned(), services.to_owned(), unknown);
    assert_eq!(completed(&["10.244.1.0/24"]), told("10.244.0.0/16", "10.96.0.0/16", 0));
    assert_eq!(completed(&["10.42.1.0/24"]), told("10.42.1.0/24", "10.96.0.0/16", 0));
    assert_eq!(completed(&["fd00:7::/64"]), told("fd00:7::/64", "", 1));
    let dual = completed(&["10.244.1.0/24", "fd00:7::/64"]);
    assert_eq!(dual, told("10.244.0.0/16 fd00:7::/64", "10.96.0.0/16", 1));
    assert_eq!(completed(&[]), told("10.244.0.0/16", "10.96.0.0/16", 0));
    let named = mk_expected();
    assert_eq!(named.clone().completed(None), named);

    let v6 = |seen: &mut Seen, expected: &mut Expected| {
        let Ok(Some(network)) = &mut seen.network else { panic!("there is one") };
        network.pod_cidrs = vec!["fd00:7::/64".parse().unwrap()];
        seen.settings.insert("net/ipv6/conf/all/forwarding".to_owned(), "1".to_owned());
        *expected = Expected { underlay_link: "eth0".into(), ..Expected::default() }.completed(Some(network));
    };
    assert_eq!(broken(v6), [(Verdict::Skipped, "address ranges", "IPv6 range of Services".to_owned())]);
}
