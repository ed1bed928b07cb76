//! A running lab seen from the host: its API, its Pods, its outside, its entries.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use apply_kube::{Exec, ExitStatus, Streams, Terminal};
use lab::LabInfo;
use model::Snapshot;
use tokio::process::Command;

use crate::cmd::probe::Observation;
use crate::plans::{ClusterFacts, compile_all};
use crate::tour::guide::Place;

/// Everything needed to look at a running lab and to try things in it.
#[derive(Clone)]
pub(crate) struct Reach {
    client: watch::Client,
    info: LabInfo,
    facts: ClusterFacts,
    program: PathBuf,
}

impl Reach {
    /// Connects to a running lab.
    pub(crate) async fn open(info: LabInfo, facts: ClusterFacts) -> Result<Self> {
        let access = watch::Access::kubeconfig_or_in_cluster(Some(info.kubeconfig.clone()));
        let client = watch::connect(&access).await.context("cannot reach the lab's API")?;
        let program = std::env::current_exe().context("cannot find our own program file")?;
        Ok(Self { client, info, facts, program })
    }

    /// The API's client.
    pub(crate) fn client(&self) -> &watch::Client {
        &self.client
    }

    /// The cluster as the API has it now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        watch::list_all(&self.client).await.context("cannot list the cluster's objects")
    }

    /// Why a connection works or fails now.
    pub(crate) async fn explain(&self, from: &str, to: &str) -> Result<explain::Explanation> {
        let question = explain::Question::parse(from, to, "default")?;
        let cluster = compile_all(&self.snapshot().await?, &self.facts);
        Ok(explain::explain(&cluster, &question))
    }

    /// What a person would type to try the same.
    pub(crate) fn command(&self, place: &Place, probe: &[String]) -> String {
        let words = probe.join(" ");
        match place {
            Place::Pod { pod, container } => {
                let container = container.as_ref().map(|name| format!(" -c {name}")).unwrap_or_default();
                format!("kubectl -n {} exec {}{container} -- sealane probe {words}", pod.namespace, pod.name)
            }
            Place::Outside => format!("sealane lab exec --outside -- sealane probe {words}"),
            Place::Host => format!("sealane probe {words} --connect {}", self.entry(probe)),
        }
    }

    /// Runs `sealane probe` with these arguments at a place.
    pub(crate) async fn probe(&self, place: &Place, probe: &[String]) -> Result<Vec<Observation>> {
        let mut arguments = ["probe", "--output", "json"].map(str::to_owned).to_vec();
        arguments.extend(probe.iter().cloned());
        let output = match place {
            Place::Pod { pod, container } => self.in_pod(pod, container.clone(), arguments).await?,
            Place::Outside => {
                let mut command = lab::outside(&self.info)?;
                command.arg(&self.program).args(arguments);
                run(command.into()).await?
            }
            Place::Host => {
                arguments.extend(["--connect".to_owned(), self.entry(probe).to_owned()]);
                let mut command = Command::new(&self.program);
                command.args(arguments);
                run(command).await?
            }
        };
        let lines = output.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).with_context(|| format!("not a probe's result: {line}")))
            .collect()
    }

    /// The entry on the host's loopback that a probe's URL belongs to.
    fn entry(&self, probe: &[String]) -> &str {
        let is_https = probe.iter().any(|word| word.starts_with("https://"));
        if is_https { &self.info.https } else { &self.info.http }
    }

    async fn in_pod(
        &self,
        pod: &types::PodName,
        container: Option<String>,
        arguments: Vec<String>,
    ) -> Result<String> {
        // Every Pod of a lab has this program on its PATH; our own file may be where the Pod has a directory of its own.
        let mut command = vec!["sealane".to_owned()];
        command.extend(arguments);
        let exec = Exec { pod: pod.clone(), container, command, terminal: Terminal::None };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let streams = Streams { stdin: None::<tokio::io::Empty>, stdout: &mut stdout, stderr: &mut stderr };
        let done = apply_kube::exec(&self.client, &exec, streams).await;
        let said = || String::from_utf8_lossy(&stderr).trim().to_owned();
        match done.with_context(|| format!("cannot run a probe in Pod {pod}"))? {
            ExitStatus::NotRun(why) => bail!("cannot run a probe in Pod {pod}: {why}"),
            ExitStatus::Code(code) if stdout.is_empty() => {
                bail!("a probe in Pod {pod} printed nothing and ended with {code}: {}", said())
            }
            ExitStatus::Code(_) => {}
        }
        String::from_utf8(stdout).context("a probe printed something that is not text")
    }

    /// What a person would type to make a stand-in's readiness probe succeed or fail.
    pub(crate) fn set_ready_command(&self, pod: IpAddr, ready: bool) -> String {
        let url = format!("'{}'", readiness_url(pod, ready));
        self.command(&Place::Outside, &["http".to_owned(), url, "-X".to_owned(), "POST".to_owned()])
    }

    /// Makes a stand-in's readiness probe succeed or fail.
    pub(crate) async fn set_ready(&self, pod: IpAddr, ready: bool) -> Result<()> {
        let url = readiness_url(pod, ready);
        let words = ["http", &url, "-X", "POST"].map(str::to_owned);
        let seen = self.probe(&Place::Outside, &words).await?;
        if seen.iter().all(|seen| seen.status == Some(200)) {
            Ok(())
        } else {
            bail!("{url} answered {seen:?}")
        }
    }
}

fn readiness_url(pod: IpAddr, ready: bool) -> String {
    format!("http://{}/readyz?ready={ready}", SocketAddr::new(pod, 8080))
}

async fn run(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await.context("cannot start a probe")?;
    if output.stdout.is_empty() {
        bail!("a probe printed nothing: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("a probe printed something that is not text")
}
