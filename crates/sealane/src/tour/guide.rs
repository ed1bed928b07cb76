//! What a lesson can do: apply manifests, wait, try things with real packets, and ask why.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use apply_kube::{Target, Writer};
use model::Snapshot;
use serde::Serialize;
use serde_json::{Value, json};
use types::{PodName, ServiceName};

use super::telling::Telling;
use crate::cmd::probe::Observation;
use crate::reach::Reach;

/// How long a lesson waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between different answers.
pub(crate) const SEPARATOR: &str = "; ";
/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Where something is tried from.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Inside a Pod.
    Pod {
        /// The Pod.
        pod: PodName,
        /// One of its containers; none for the first.
        container: Option<String>,
    },
    /// Beyond the nodes, on the network that joins them.
    Outside,
    /// On the machine that runs the lab, through an entry on its loopback.
    Host,
}

/// One thing tried, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trial {
    /// What a person would type.
    pub(crate) tried: String,
    /// What must come of it.
    pub(crate) expected: String,
    /// What came of it.
    pub(crate) observed: String,
    /// Whether that is the same.
    pub(crate) ok: bool,
    /// Why, hop by hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<explain::Explanation>,
}

/// Whether all attempts showed what was expected.
pub(crate) type Test<'a> = Box<dyn Fn(&[Observation]) -> bool + Send + Sync + 'a>;

/// Something to try.
pub(crate) struct Check<'a> {
    /// Where from.
    pub(crate) place: Place,
    /// Arguments of `sealane probe`.
    pub(crate) probe: Vec<String>,
    /// What must come of it, in words.
    pub(crate) expect: String,
    /// Whether it did; looks at all attempts.
    pub(crate) test: Test<'a>,
    /// Client and target to explain.
    pub(crate) why: Option<(String, String)>,
}

/// A lesson's hands.
pub(crate) struct Guide {
    reach: Reach,
    telling: Telling,
    writer: Writer,
    /// Objects applied, as `Kind namespace/name`.
    pub(crate) applied: Vec<String>,
    /// What was tried so far.
    pub(crate) trials: Vec<Trial>,
}

impl Guide {
    /// A guide for one lesson in a running lab.
    pub(crate) fn new(reach: Reach, telling: Telling) -> Self {
        let writer = Writer::new(reach.client().clone());
        Self { reach, telling, writer, applied: Vec::new(), trials: Vec::new() }
    }

    /// Applies every object of a manifest.
    pub(crate) async fn apply(&mut self, manifest: &str) -> Result<()> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifest)
            .map_err(|error| anyhow!("the manifest is not YAML: {error}"))?;
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            self.apply_object(&document).await?;
        }
        Ok(())
    }

    /// Applies one object.
    pub(crate) async fn apply_object(&mut self, object: &Value) -> Result<()> {
        let described = described(object);
        self.writer.apply(object).await.with_context(|| format!("cannot apply {described}"))?;
        self.applied.push(described);
        Ok(())
    }

    /// Sets `spec.replicas` of a Deployment.
    pub(crate) async fn scale(&self, deployment: &ServiceName, replicas: u32) -> Result<()> {
        let target = Target::namespaced("apps/v1", "Deployment", &deployment.namespace, &deployment.name);
        self.writer.merge_patch(&target, &json!({"spec": {"replicas": replicas}})).await?;
        Ok(())
    }

    /// Deletes a Pod.
    pub(crate) async fn delete_pod(&self, pod: &PodName) -> Result<()> {
        let target = Target::namespaced("v1", "Pod", &pod.namespace, &pod.name);
        self.writer.delete(&target, &apply_kube::DeleteOptions::default()).await?;
        Ok(())
    }

    /// The cluster as the API has it now.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        self.reach.snapshot().await
    }

    /// Ports of the lab's entries.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Waits until `find` finds something in the cluster.
    pub(crate) async fn wait<T>(&self, what: &str, find: impl Fn(&Snapshot) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = find(&self.snapshot().await?) {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                bail!("waited {} s for {what} in vain", PATIENCE.as_secs());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tries something until it comes out as expected or patience ends, and records the last attempt.
    pub(crate) async fn check(&mut self, check: Check<'_>) -> Result<()> {
        let tried = self.reach.command(&check.place, &check.probe);
        self.telling.trying(&tried);
        let observations = self.observe(&check).await?;
        let why = match &check.why {
            Some((from, to)) => Some(self.reach.explain(from, to).await?),
            None => None,
        };
        // The explanation must say what the packets did.
        let agrees = why.as_ref().is_none_or(|why| foretells(&why.conclusion, &observations));
        let mut observed = summary(&observations);
        if !agrees {
            observed.push_str("; the explanation says otherwise");
        }
        let ok = (check.test)(&observations) && agrees;
        self.add(Trial { tried, expected: check.expect, observed, ok, why });
        Ok(())
    }

    /// Tries until it comes out as expected or patience ends. A probe that could not be run shows nothing, not even
    /// that a connection is denied: the Pod may not have started yet.
    async fn observe(&self, check: &Check<'_>) -> Result<Vec<Observation>> {
        let start = Instant::now();
        loop {
            match self.reach.probe(&check.place, &check.probe).await {
                Ok(observations) if (check.test)(&observations) => return Ok(observations),
                outcome if start.elapsed() > PATIENCE => return outcome,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn add(&mut self, trial: Trial) {
        self.telling.tried(&trial, &self.trials);
        self.trials.push(trial);
    }

    /// Records a fact that was read from the API rather than tried with packets.
    pub(crate) fn record(&mut self, tried: &str, expected: &str, observed: &str, ok: bool) {
        self.telling.trying(tried);
        self.add(Trial {
            tried: tried.to_owned(),
            expected: expected.to_owned(),
            observed: observed.to_owned(),
            ok,
            why: None,
        });
    }
}

/// Whether an explanation says what the packets did: an answer or none, and which one if the entry gives it.
fn foretells(conclusion: &explain::Conclusion, observations: &[Observation]) -> bool {
    observations.iter().all(|seen| match conclusion {
        explain::Conclusion::Answered { status } => seen.status == Some(*status),
        other => other.is_reached() == seen.ok,
    })
}

fn described(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// All attempts in one line; equal ones are told once, with their number.
fn summary(observations: &[Observation]) -> String {
    let mut told: Vec<(String, usize)> = Vec::new();
    for observation in observations {
        let text = describe(observation);
        match told.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => told.push((text, 1)),
        }
    }
    let parts: Vec<_> = told
        .into_iter()
        .map(|(text, count)| if count > 1 { format!("{count} times {text}") } else { text })
        .collect();
    parts.join(SEPARATOR)
}

fn describe(observation: &Observation) -> String {
    if let Some(error) = &observation.error {
        return error.clone();
    }
    if !observation.records.is_empty() {
        return observation.records.join(", ");
    }
    let answer = Answer::of(observation);
    let mut parts = Vec::new();
    parts.extend(observation.status.map(|status| format!("HTTP {status}")));
    parts.extend(observation.location.as_ref().map(|location| format!("to {location}")));
    parts.extend(observation.certificate.as_ref().map(|names| format!("with the certificate of {names}")));
    match answer {
        Some(answer) => {
            parts.push(format!("from Pod {}, container {},", answer.pod, answer.container));
            parts.push(format!("which saw {} ask for {}", answer.client, answer.path));
        }
        // A page of HTML begins with nothing worth telling.
        None => {
            let first = observation.body.lines().next().filter(|line| !line.starts_with('<'));
            parts.extend(first.map(|line| format!("`{line}`")));
        }
    }
    parts.join(" ")
}

/// What a stand-in says of itself and its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The Pod's name.
    pub(crate) pod: String,
    /// The container's name.
    pub(crate) container: String,
    /// The port it listens on.
    pub(crate) port: u16,
    /// The client's address, as it saw it.
    pub(crate) client: String,
    /// The path it was asked for.
    pub(crate) path: String,
}

impl Answer {
    /// Reads a stand-in's answer; `None` when it is somebody else's.
    pub(crate) fn of(observation: &Observation) -> Option<Self> {
        let body: Value = serde_json::from_str(&observation.body).ok()?;
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        Some(Self {
            pod: text("pod")?,
            container: text("container")?,
            port: u16::try_from(body["port"].as_u64()?).ok()?,
            client: text("client")?.parse::<SocketAddr>().ok()?.ip().to_string(),
            path: text("path")?,
        })
    }
}
