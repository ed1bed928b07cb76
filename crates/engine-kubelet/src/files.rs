//! The files every Pod has of its own: `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// The resolver settings of the node and the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The cluster DNS address.
    pub cluster_dns: IpAddr,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
    /// Where the node itself asks.
    pub node_dns: Vec<IpAddr>,
}

// `pkg/apis/core/validation`: MaxDNSNameservers, MaxDNSSearchPaths and MaxDNSSearchListChars.
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;

/// The Pod's host name: `spec.hostname`, else its name, cut to what Linux allows (`HOST_NAME_MAX`, 63 in DNS).
#[must_use]
pub fn host_name(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let wished = spec.and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let name = wished.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let cut = name.char_indices().nth(63).map_or(name.as_str(), |(at, _)| &name[..at]);
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `/etc/resolv.conf` by `dnsPolicy` and `dnsConfig` (DN13).
#[must_use]
pub fn resolv_conf(pod: &Pod, resolver: &Resolver) -> String {
    let Some(spec) = &pod.spec else { return String::new() };
    let policy = match (spec.dns_policy.as_deref(), spec.host_network) {
        (Some("None"), _) => "None",
        (Some("Default"), _) | (None | Some("ClusterFirst"), Some(true)) => "Default",
        _ => "ClusterFirst",
    };
    let mut nameservers: Vec<String> = Vec::new();
    let mut searches: Vec<String> = Vec::new();
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    match policy {
        "None" => {}
        "Default" => nameservers.extend(resolver.node_dns.iter().map(ToString::to_string)),
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
            let domain = &resolver.cluster_domain;
            nameservers.push(resolver.cluster_dns.to_string());
            searches.extend([format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()]);
            options.push(("ndots".to_owned(), Some("5".to_owned())));
        }
    }
    if let Some(config) = &spec.dns_config {
        nameservers.extend(config.nameservers.clone().unwrap_or_default());
        searches.extend(config.searches.clone().unwrap_or_default());
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            options.retain(|(known, _)| *known != name);
            options.push((name, option.value.clone()));
        }
    }
    render(first_ones(nameservers, MAX_NAMESERVERS), fitting(first_ones(searches, MAX_SEARCHES)), options)
}

/// Without repetitions, cut to a length.
fn first_ones(texts: Vec<String>, length: usize) -> Vec<String> {
    let mut result: Vec<String> = Vec::new();
    for text in texts {
        if result.len() < length && !result.contains(&text) {
            result.push(text);
        }
    }
    result
}

fn fitting(searches: Vec<String>) -> Vec<String> {
    let mut length = 0;
    searches
        .into_iter()
        .take_while(|search| {
            length += search.len() + 1;
            length <= MAX_SEARCH_CHARS + 1
        })
        .collect()
}

fn render(nameservers: Vec<String>, searches: Vec<String>, options: Vec<(String, Option<String>)>) -> String {
    let mut text = String::new();
    for nameserver in nameservers {
        let _ = writeln!(text, "nameserver {nameserver}");
    }
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    if !options.is_empty() {
        let options: Vec<String> = options
            .into_iter()
            .map(|(name, value)| value.map_or_else(|| name.clone(), |value| format!("{name}:{value}")))
            .collect();
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// `/etc/hosts`, with the Pod's own names and `hostAliases` (DN14).
#[must_use]
pub fn hosts(pod: &Pod, addresses: &[IpAddr], cluster_domain: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    );
    let name = host_name(pod);
    let spec = pod.spec.as_ref();
    let subdomain = spec.and_then(|spec| spec.subdomain.as_deref()).filter(|name| !name.is_empty());
    let has_hostname = spec.and_then(|spec| spec.hostname.as_deref()).is_some_and(|name| !name.is_empty());
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    for address in addresses {
        match subdomain {
            Some(subdomain) if has_hostname => {
                let _ =
                    writeln!(text, "{address}\t{name}.{subdomain}.{namespace}.svc.{cluster_domain}\t{name}");
            }
            _ => {
                let _ = writeln!(text, "{address}\t{name}");
            }
        }
    }
    let aliases = spec.and_then(|spec| spec.host_aliases.as_ref());
    if let Some(aliases) = aliases {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.clone().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{HostAlias, PodDNSConfig, PodDNSConfigOption, PodSpec};

    fn mk_pod(spec: PodSpec) -> Pod {
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        pod.metadata.namespace = Some("shop".into());
        pod.metadata.name = Some("web-1".into());
        pod
    }

    fn mk_resolver() -> Resolver {
        Resolver {
            cluster_dns: "10.96.0.10".parse().unwrap(),
            cluster_domain: "cluster.local".into(),
            node_dns: vec!["192.0.2.53".parse().unwrap()],
        }
    }

    #[test]
    fn cluster_first_is_the_default() {
        let text = resolv_conf(&mk_pod(PodSpec::default()), &mk_resolver());
        let expected = "nameserver 10.96.0.10\n\
                        search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn cluster_first_on_the_host_network_is_default() {
        let pod = mk_pod(PodSpec { host_network: Some(true), ..PodSpec::default() });
        assert_eq!(resolv_conf(&pod, &mk_resolver()), "nameserver 192.0.2.53\n");
    }

    #[test]
    fn none_takes_the_configuration_alone_and_others_merge() {
        let config = PodDNSConfig {
            nameservers: Some(vec!["192.0.2.1".into(), "192.0.2.1".into()]),
            searches: Some(vec!["example.com".into()]),
            options: Some(vec![PodDNSConfigOption { name: Some("ndots".into()), value: Some("2".into()) }]),
        };
        let mut spec = PodSpec { dns_policy: Some("None".into()), ..PodSpec::default() };
        spec.dns_config = Some(config);
        let text = resolv_conf(&mk_pod(spec.clone()), &mk_resolver());
        assert_eq!(text, "nameserver 192.0.2.1\nsearch example.com\noptions ndots:2\n");
        spec.dns_policy = Some("ClusterFirst".into());
        let text = resolv_conf(&mk_pod(spec), &mk_resolver());
        assert!(text.starts_with("nameserver 10.96.0.10\nnameserver 192.0.2.1\n"), "{text}");
        assert!(text.ends_with("cluster.local example.com\noptions ndots:2\n"), "{text}");
    }

    #[test]
    fn hosts_names_the_pod_and_its_aliases() {
        let mut spec =
            PodSpec { hostname: Some("db".into()), subdomain: Some("dbs".into()), ..PodSpec::default() };
        let alias = HostAlias { ip: "192.0.2.7".into(), hostnames: Some(vec!["mail".into()]) };
        spec.host_aliases = Some(vec![alias]);
        let text = hosts(&mk_pod(spec), &["10.244.0.3".parse().unwrap()], "cluster.local");
        assert!(text.contains("10.244.0.3\tdb.dbs.shop.svc.cluster.local\tdb\n"), "{text}");
        assert!(text.ends_with("192.0.2.7\tmail\n"), "{text}");
    }
}
