//! The servers of others, with the same names, on one thread each.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api;
use crate::cluster::{Size, outside_zone};
use crate::process::{Server, free_port};

/// A name that every server of the cluster's names answers.
const FIRST: &str = "web-1.team-1.svc.cluster.local";

/// What servers have in common.
pub(crate) struct Common<'a> {
    pub(crate) size: Size,
    /// Where their files are.
    pub(crate) folder: &'a Path,
    pub(crate) processor: usize,
    /// The port of a server that knows names outside of the cluster.
    pub(crate) upstream: u16,
}

impl Common<'_> {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// This program, as a server.
    fn own(&self, arguments: &[&str], port: u16) -> Result<Server, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments);
        Server::start(command, self.processor, port, FIRST)
    }

    pub(crate) fn ours(&self) -> Result<Server, String> {
        let port = free_port();
        let size = [self.size.services.to_string(), self.size.endpoints.to_string()];
        self.own(&["ours", &port.to_string(), &self.upstream.to_string(), &size[0], &size[1]], port)
    }

    pub(crate) fn echo(&self) -> Result<Server, String> {
        let port = free_port();
        self.own(&["echo", &port.to_string()], port)
    }

    /// The server of names outside, which all that ask others ask.
    pub(crate) fn outside(folder: &Path, processor: usize) -> Result<Server, String> {
        std::fs::write(folder.join("example.zone"), outside_zone()).unwrap();
        nsd(folder, "outside", ("example.com", "example.zone"), processor, "host-1.example.com")
    }

    pub(crate) fn nsd(&self) -> Result<Server, String> {
        nsd(self.folder, "nsd", ("cluster.local", "cluster.zone"), self.processor, FIRST)
    }

    pub(crate) fn knot(&self) -> Result<Server, String> {
        let (port, folder, files) = (free_port(), self.folder("knot"), self.folder.display());
        let config = format!(
            "server:\n  rundir: {own}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
             background-workers: 1\ndatabase:\n  storage: {own}\nlog:\n  - target: stderr\n    any: error\n\
             zone:\n  - domain: cluster.local\n    storage: {files}\n    file: cluster.zone\n    \
             zonefile-sync: -1\n    journal-content: none\n",
            own = folder.display()
        );
        let mut command = Command::new("knotd");
        command.arg("-c").arg(self.write("knot.conf", &config));
        Server::start(command, self.processor, port, FIRST)
    }

    pub(crate) fn unbound(&self) -> Result<Server, String> {
        let (port, folder, files) = (free_port(), self.folder("unbound"), self.folder.display());
        let config = format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  num-threads: 1\n  do-daemonize: no\n  \
             username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  directory: \"{own}\"\n  use-syslog: no\n  \
             access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
             msg-cache-size: 64m\n  rrset-cache-size: 64m\n  incoming-num-tcp: 100\n\
             remote-control:\n  control-enable: no\n\
             auth-zone:\n  name: cluster.local\n  zonefile: {files}/cluster.zone\n  for-downstream: yes\n  \
             for-upstream: no\n  fallback-enabled: no\n\
             forward-zone:\n  name: .\n  forward-addr: 127.0.0.1@{}\n",
            self.upstream,
            own = folder.display()
        );
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(self.write("unbound.conf", &config));
        Server::start(command, self.processor, port, FIRST)
    }

    /// With the plugin kubernetes, as in a cluster, and the cache of the Corefile that kubeadm writes.
    pub(crate) fn coredns(&self, program: &Path) -> Result<Server, String> {
        let (port, api) = (free_port(), api::start(self.size));
        let config = format!(
            ".:{port} {{\n  bind 127.0.0.1\n  kubernetes cluster.local {{\n    endpoint {api}\n    pods disabled\n  }}\n  \
             cache 30\n  forward . 127.0.0.1:{}\n}}\n",
            self.upstream
        );
        let mut command = Command::new(program);
        command.arg("-quiet").arg("-conf").arg(self.write("Corefile", &config));
        Server::start(command, self.processor, port, FIRST)
    }
}

fn nsd(
    folder: &Path,
    name: &str,
    (zone, file): (&str, &str),
    processor: usize,
    question: &str,
) -> Result<Server, String> {
    let port = free_port();
    let own = folder.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{files}\"\n  \
         database: \"\"\n  pidfile: \"{own}/pid\"\n  xfrdfile: \"{own}/xfrd\"\n  zonelistfile: \"{own}/zones\"\n  \
         xfrdir: \"{own}\"\n  logfile: \"{own}/log\"\n  tcp-count: 100\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: no\nzone:\n  name: {zone}\n  zonefile: {file}\n",
        files = folder.display(),
        own = own.display()
    );
    let path = own.join("nsd.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nsd");
    command.arg("-d").arg("-c").arg(path);
    Server::start(command, processor, port, question)
}
