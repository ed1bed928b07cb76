//! Tells of findings with Events on the objects they are about, each once, and only those that stand for a while:
//! objects that belong together are not made in one instant.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use apply_kube::{EventKind, EventNote, Events, Subject, Writer};
use plan::{Failure, Finding, Report};

/// Who we are in an Event.
const COMPONENT: &str = "sealane";

/// How long a finding has to stand before it is told. A Deployment's Pods, or a Secret further down in the same
/// manifest, are there by then.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Herald {
    client: watch::Client,
    events: Events,
    noticed: Noticed,
}

impl Herald {
    pub(crate) fn new(client: watch::Client) -> Self {
        let events = Events::new(Writer::new(client.clone()));
        Self { client, events, noticed: Noticed::default() }
    }

    /// When a finding that stands now will have stood long enough.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.noticed.due_at()
    }

    /// Writes an Event for each finding that stands and has not been told; one that goes away and comes back is new.
    pub(crate) async fn tell(&mut self, findings: &BTreeSet<Finding>, now: Instant) -> Report {
        let mut report = Report::default();
        self.noticed.look(findings, now);
        for finding in self.noticed.due(now) {
            match self.tell_one(&finding).await {
                Ok(written) => {
                    report.written += written;
                    self.noticed.told(finding);
                }
                Err(error) => {
                    let why = types::with_causes(error.as_ref());
                    report.failures.push(Failure { what: format!("Event on {}", finding.object), why });
                    self.noticed.postpone(finding, now);
                }
            }
        }
        report
    }

    async fn tell_one(&self, finding: &Finding) -> Result<usize, Box<dyn Error + Send + Sync>> {
        // An object that is gone meanwhile cannot carry an Event.
        let Some(identity) = watch::identity(&self.client, &finding.object).await? else { return Ok(0) };
        let subject =
            Subject { api_version: identity.api_version, object: finding.object.clone(), uid: identity.uid };
        self.events.note(&note(finding, subject)).await?;
        Ok(1)
    }
}

/// Findings that stand now, and since when; `None` for those that have been told.
#[derive(Debug, Default)]
struct Noticed(BTreeMap<Finding, Option<Instant>>);

impl Noticed {
    fn look(&mut self, findings: &BTreeSet<Finding>, now: Instant) {
        self.0.retain(|finding, _| findings.contains(finding));
        for finding in findings.iter().filter(|finding| !self.0.contains_key(finding)).collect::<Vec<_>>() {
            self.0.insert(finding.clone(), Some(now));
        }
    }

    fn due_at(&self) -> Option<Instant> {
        self.0.values().flatten().min().map(|since| *since + PATIENCE)
    }

    fn due(&self, now: Instant) -> Vec<Finding> {
        let stands = |since: &Option<Instant>| since.is_some_and(|since| since + PATIENCE <= now);
        self.0.iter().filter(|(_, since)| stands(since)).map(|(finding, _)| finding.clone()).collect()
    }

    /// Makes it due again after another pause, so that a failing write is not tried without end.
    fn postpone(&mut self, finding: Finding, now: Instant) {
        self.0.insert(finding, Some(now));
    }

    fn told(&mut self, finding: Finding) {
        self.0.insert(finding, None);
    }
}

fn note(finding: &Finding, subject: Subject) -> EventNote {
    EventNote {
        subject,
        kind: EventKind::Warning,
        reason: finding.reason.to_owned(),
        message: finding.text(),
        component: COMPONENT.to_owned(),
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Severity;
    use types::ObjectRef;

    fn mk_finding(name: &str) -> Finding {
        Finding {
            severity: Severity::Error,
            object: ObjectRef { kind: "Ingress".into(), namespace: Some("shop".into()), name: name.into() },
            field: "spec.tls[0].secretName".into(),
            reason: "SecretMissing",
            message: "Secret shop/cert does not exist".into(),
        }
    }

    #[test]
    fn an_event_names_the_field() {
        let finding = mk_finding("web");
        let subject = Subject {
            api_version: "networking.k8s.io/v1".into(),
            object: finding.object.clone(),
            uid: "u".into(),
        };
        let note = note(&finding, subject);
        assert_eq!(note.message, "spec.tls[0].secretName: Secret shop/cert does not exist");
        assert_eq!(note.reason, "SecretMissing");
    }

    #[test]
    fn only_what_stands_is_told_and_only_once() {
        let start = Instant::now();
        let both = BTreeSet::from([mk_finding("brief"), mk_finding("lasting")]);
        let lasting = BTreeSet::from([mk_finding("lasting")]);
        let mut noticed = Noticed::default();
        noticed.look(&both, start);
        assert!(noticed.due(start).is_empty());
        assert_eq!(noticed.due_at(), Some(start + PATIENCE));
        let later = start + PATIENCE;
        noticed.look(&lasting, later);
        assert_eq!(noticed.due(later), [mk_finding("lasting")]);
        noticed.postpone(mk_finding("lasting"), later);
        assert!(noticed.due(later).is_empty() && noticed.due_at() > Some(later), "a failed write waits");
        assert_eq!(noticed.due(later + PATIENCE), [mk_finding("lasting")]);
        noticed.told(mk_finding("lasting"));
        noticed.look(&lasting, later);
        assert!(noticed.due(later).is_empty());
        assert_eq!(noticed.due_at(), None);
        noticed.look(&both, later);
        assert_eq!(noticed.due_at(), Some(later + PATIENCE), "it came back and has to stand again");
    }
}
