//! The scenario file: sections that begin with `== name arguments`, read without judging them.

use compile::TunnelMode;
use model::Snapshot;

use crate::manifests::{ManifestError, Manifests};
use crate::probe::{Probe, ProbeError};
use crate::world::World;
use crate::{LAB_MANIFESTS, LAB_MANIFESTS_V6, show};

/// A scenario.
///
/// The text before the first section says what it shows. Then:
///
/// - `== lab [tunnel=vxlan|direct|auto] [family=ipv4|ipv6]`: how the lab is set up; may be left out.
/// - `== cluster`: YAML manifests, on top of the lab's own; EndpointSlices are made from selectors.
/// - `== plan FEATURE [on NODE]`: what is planned, as [`rewrite`](crate::rewrite) prints it; node-a if not said.
/// - `== cluster plan`, `== findings`: likewise.
/// - `== rules NAME [on NODE]`: the set, map or chain of that name in the node's table.
/// - `== questions`: lines of `NAMESPACE asks NAME TYPE`, each with its answer behind `→`.
/// - `== requests`: lines of `http://HOST/PATH` or `https://…`, each with what becomes of it behind `→`.
/// - `== probes`: one [`Probe`] a line.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Sections in their order; the text before the first is a section without a name.
    pub sections: Vec<Section>,
    /// The cluster, before the cluster loop has seen it.
    pub snapshot: Snapshot,
    /// What is tried.
    pub probes: Vec<Probe>,
    tunnel: TunnelMode,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What follows `==`.
    pub title: String,
    /// The lines up to the next section.
    pub body: String,
}

/// Why a scenario could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The manifests.
    #[error("section `cluster`")]
    Manifests(#[from] ManifestError),
    /// A probe.
    #[error("section `probes`")]
    Probe(#[from] ProbeError),
    /// A section nobody knows.
    #[error("there is no section `{0}`")]
    Title(String),
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// A section is unknown or not of its form.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let sections = split(text);
        let lab = Lab::read(&sections)?;
        let mut scenario =
            Self { sections, snapshot: Snapshot::default(), probes: Vec::new(), tunnel: lab.tunnel };
        Manifests::parse(lab.manifests)?.apply_to(&mut scenario.snapshot);
        for section in scenario.sections.clone() {
            match section.title.split_whitespace().collect::<Vec<_>>().as_slice() {
                [] | ["lab", ..] => {}
                ["cluster"] => Manifests::parse(&section.body)?.apply_to(&mut scenario.snapshot),
                ["probes"] => {
                    let lines = section.body.lines().map(str::trim);
                    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                        scenario.probes.push(Probe::parse(line)?);
                    }
                }
                title if show::knows(title) => {}
                _ => return Err(ScenarioError::Title(section.title.clone())),
            }
        }
        Ok(scenario)
    }

    /// The plans of all nodes once the cluster loop has written its statuses.
    #[must_use]
    pub fn world(&self) -> World {
        World::settle(self.snapshot.clone(), self.tunnel)
    }
}

/// What the section `lab` says.
struct Lab {
    tunnel: TunnelMode,
    manifests: &'static str,
}

impl Lab {
    fn read(sections: &[Section]) -> Result<Self, ScenarioError> {
        let mut lab = Self { tunnel: TunnelMode::Vxlan, manifests: LAB_MANIFESTS };
        for section in sections {
            let mut words = section.title.split_whitespace();
            if words.next() != Some("lab") {
                continue;
            }
            for word in words {
                match word {
                    "tunnel=vxlan" => lab.tunnel = TunnelMode::Vxlan,
                    "tunnel=direct" => lab.tunnel = TunnelMode::Direct,
                    "tunnel=auto" => lab.tunnel = TunnelMode::Auto,
                    "family=ipv4" => lab.manifests = LAB_MANIFESTS,
                    "family=ipv6" => lab.manifests = LAB_MANIFESTS_V6,
                    _ => return Err(ScenarioError::Title(section.title.clone())),
                }
            }
        }
        Ok(lab)
    }
}

fn split(text: &str) -> Vec<Section> {
    let mut sections = vec![Section { title: String::new(), body: String::new() }];
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(title) => {
                sections.push(Section { title: title.trim().to_owned(), body: String::new() });
            }
            None => {
                if let Some(section) = sections.last_mut() {
                    section.body.push_str(line);
                    section.body.push('\n');
                }
            }
        }
    }
    sections
}
