//! The answer: hops in order, each with what decides, and how it ends.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use types::ObjectRef;

use crate::Question;

/// Why a connection works or fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The question, in words.
    pub question: String,
    /// What happens on the way, in order.
    pub hops: Vec<Hop>,
    /// How it ends.
    pub conclusion: Conclusion,
    /// How it ends, in one sentence.
    pub summary: String,
}

/// One thing that happens on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Which part of the network.
    pub stage: Stage,
    /// Whether it goes on.
    pub verdict: HopVerdict,
    /// What happens.
    pub text: String,
    /// The object that decides, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// The field of the object that decides; empty when it is the whole object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Which part of the network a hop belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Name to address.
    Name,
    /// Service to backends.
    Service,
    /// The HTTP entry.
    Entry,
    /// What the client's Pod may reach.
    Egress,
    /// Who may reach the backend's Pod.
    Ingress,
    /// How packets get there.
    Route,
}

/// Whether the connection goes on after a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HopVerdict {
    /// It goes on.
    Pass,
    /// It goes on, and something is wrong all the same.
    Warn,
    /// It ends here.
    Stop,
}

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Conclusion {
    /// It reaches one of these addresses (`address:port`).
    Reaches {
        /// Where it may end up.
        backends: BTreeSet<String>,
    },
    /// Some backends are reached and others are not: it depends on which one is drawn.
    ReachesSome {
        /// Backends that are reached.
        backends: BTreeSet<String>,
        /// Backends that are not.
        denied: BTreeSet<String>,
    },
    /// A NetworkPolicy denies it: no answer until the client gives up.
    Denied,
    /// Refused at once.
    Refused,
    /// Dropped: no answer until the client gives up.
    Dropped,
    /// The name does not exist, or has no address.
    NoName,
    /// The HTTP entry answers by itself, with this status code.
    Answered {
        /// HTTP status code.
        status: u16,
    },
    /// It leaves the cluster; what happens there is not known here.
    LeavesCluster,
    /// A process of the node, the client's own Pod or another proxy is reached, or nobody listens; the plans do not say.
    ReachesNode,
    /// There is no such client.
    NoClient,
    /// No port was asked for.
    NoPort,
}

impl Conclusion {
    /// Whether the client gets an answer from the other side, as far as the network is concerned.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        match self {
            Self::Reaches { .. } | Self::LeavesCluster | Self::ReachesNode => true,
            Self::Answered { status } => *status < 400,
            _ => false,
        }
    }

    /// The ends that the summary only counts, one a line.
    pub fn listed(&self) -> impl Iterator<Item = String> {
        let (reached, denied) = match self {
            Self::Reaches { backends } => (Some(backends), None),
            Self::ReachesSome { backends, denied } => (Some(backends), Some(denied)),
            _ => (None, None),
        };
        let lines = |mark: &'static str, ends: Option<&BTreeSet<String>>| {
            let ends = ends.filter(|ends| ends.len() > 1).cloned().unwrap_or_default();
            ends.into_iter().map(move |end| format!("{mark} {end}"))
        };
        lines("✓", reached).chain(lines("✗", denied))
    }
}

impl Explanation {
    pub(crate) fn new(question: &Question) -> Self {
        Self {
            question: question.to_string(),
            hops: Vec::new(),
            conclusion: Conclusion::NoClient,
            summary: String::new(),
        }
    }

    /// Sets how it ends.
    pub(crate) fn end(mut self, conclusion: Conclusion, summary: String) -> Self {
        self.conclude(conclusion, summary);
        self
    }

    pub(crate) fn conclude(&mut self, conclusion: Conclusion, summary: String) {
        self.conclusion = conclusion;
        self.summary = summary;
    }
}

impl Hop {
    pub(crate) fn pass(stage: Stage, text: impl Into<String>) -> Self {
        Self { stage, verdict: HopVerdict::Pass, text: text.into(), object: None, field: String::new() }
    }

    pub(crate) fn warn(stage: Stage, text: impl Into<String>) -> Self {
        Self { verdict: HopVerdict::Warn, ..Self::pass(stage, text) }
    }

    pub(crate) fn stop(stage: Stage, text: impl Into<String>) -> Self {
        Self { verdict: HopVerdict::Stop, ..Self::pass(stage, text) }
    }

    /// Names the object and field that decide.
    pub(crate) fn because(mut self, object: Option<ObjectRef>, field: impl Into<String>) -> Self {
        self.object = object;
        self.field = field.into();
        self
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Name => "name",
            Self::Service => "service",
            Self::Entry => "entry",
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Route => "route",
        })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            HopVerdict::Pass => "✓",
            HopVerdict::Warn => "!",
            HopVerdict::Stop => "✗",
        };
        write!(f, "{mark} {:<8}{}", self.stage, self.text)?;
        let Some(object) = &self.object else { return Ok(()) };
        let decider = format!("{object} {}", self.field);
        // Some texts name it already.
        if self.text.contains(decider.trim_end()) && !self.field.is_empty() {
            return Ok(());
        }
        write!(f, "  [{}]", decider.trim_end())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.question)?;
        for hop in &self.hops {
            writeln!(f, "  {hop}")?;
        }
        write!(f, "  = {}", self.summary)?;
        self.conclusion.listed().try_for_each(|line| write!(f, "\n      {line}"))
    }
}
