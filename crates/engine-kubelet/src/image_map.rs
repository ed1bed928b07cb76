//! What stands in for known images: which program, which ports.

use serde::Deserialize;
use types::{Port, PortProto, Protocol};

/// Image references and what runs in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageMap {
    entries: Vec<ImageEntry>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageEntry {
    /// The image: a whole reference, one without tag, or only its last part (`nginx`).
    pub image: String,
    /// The image's entrypoint as a program of this machine; empty for images that run their arguments as they are.
    /// None when a stand-in serves in its place.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// TCP ports a stand-in listens on when the container declares none.
    #[serde(default)]
    pub ports: Vec<Port>,
}

/// Images that run whatever they are told, so that arguments alone name the program.
const SHELLS: &[&str] = &[
    "busybox",
    "alpine",
    "debian",
    "ubuntu",
    "fedora",
    "centos",
    "bash",
    "python",
    "node",
    "perl",
    "ruby",
    "netshoot",
    "dnsutils",
    "network-multitool",
    "toolbox",
];

/// The port that well-known images listen on, as their documentation says.
const SERVERS: &[(&str, u16)] = &[
    ("nginx", 80),
    ("httpd", 80),
    ("caddy", 80),
    ("traefik", 80),
    ("whoami", 80),
    ("httpbin", 80),
    ("go-httpbin", 8080),
    ("hello", 80),
    ("hello-app", 8080),
    ("echoserver", 8080),
    ("echo-server", 80),
    ("http-echo", 5678),
    ("agnhost", 8080),
    ("podinfo", 9898),
    ("nginx-unprivileged", 8080),
    ("redis", 6379),
    ("valkey", 6379),
    ("memcached", 11211),
    ("postgres", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("mongo", 27017),
    ("rabbitmq", 5672),
];

impl ImageMap {
    /// The map that is built in.
    #[must_use]
    pub fn built_in() -> Self {
        let shells = SHELLS.iter().map(|image| ImageEntry {
            image: (*image).to_owned(),
            entrypoint: Some(Vec::new()),
            cmd: Vec::new(),
            ports: Vec::new(),
        });
        let servers = SERVERS.iter().map(|(image, port)| ImageEntry {
            image: (*image).to_owned(),
            entrypoint: None,
            cmd: Vec::new(),
            ports: Port::new(*port).into_iter().collect(),
        });
        Self { entries: shells.chain(servers).collect() }
    }

    /// The built-in map with the entries of a YAML list before it.
    ///
    /// # Errors
    /// When it is malformed, with where and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries: Vec<ImageEntry> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        entries.extend(Self::built_in().entries);
        Ok(Self { entries })
    }

    /// The first entry that means this image reference.
    #[must_use]
    pub fn entry(&self, image: &str) -> Option<&ImageEntry> {
        let untagged = without_tag(image);
        let last = untagged.rsplit('/').next().unwrap_or(untagged);
        let meant = [image, untagged, last];
        self.entries.iter().find(|entry| meant.contains(&entry.image.as_str()))
    }
}

impl ImageEntry {
    /// The ports a stand-in listens on when the container declares none.
    pub fn stand_in_ports(&self) -> impl Iterator<Item = PortProto> + '_ {
        self.ports.iter().map(|port| PortProto { port: *port, protocol: Protocol::Tcp })
    }
}

/// `registry:5000/team/web:1.2@sha256:…` → `registry:5000/team/web`.
fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lose_tag_and_digest_but_not_the_registry_port() {
        assert_eq!(without_tag("nginx:1.27"), "nginx");
        assert_eq!(without_tag("localhost:5000/team/web:1@sha256:00"), "localhost:5000/team/web");
        assert_eq!(without_tag("localhost:5000/web"), "localhost:5000/web");
    }

    #[test]
    fn known_servers_have_their_port_and_a_file_comes_first() {
        let built_in = ImageMap::built_in();
        assert_eq!(built_in.entry("docker.io/library/nginx:1.27").unwrap().ports, [Port::new(80).unwrap()]);
        assert_eq!(built_in.entry("example.com/unknown"), None);
        let text = "- image: nginx\n  entrypoint: [python3]\n  cmd: ['-m', 'http.server', '80']\n";
        let mapped = ImageMap::parse(text).unwrap();
        assert_eq!(mapped.entry("nginx").unwrap().entrypoint, Some(vec!["python3".to_owned()]));
        assert!(ImageMap::parse("- imag: nginx\n").is_err());
    }
}
