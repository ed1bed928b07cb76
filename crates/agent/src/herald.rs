//! Tells of findings with Events on the objects they are about, each once.

use std::collections::BTreeSet;
use std::error::Error;

use apply_kube::{EventKind, EventNote, Events, Subject, Writer};
use plan::{Failure, Finding, Report};

/// Who we are in an Event.
const COMPONENT: &str = "sealane";

pub(crate) struct Herald {
    client: watch::Client,
    events: Events,
    told: BTreeSet<Finding>,
}

impl Herald {
    pub(crate) fn new(client: watch::Client) -> Self {
        let events = Events::new(Writer::new(client.clone()));
        Self { client, events, told: BTreeSet::new() }
    }

    /// Writes an Event for each finding that is new; one that went away and comes back is new again.
    pub(crate) async fn tell(&mut self, findings: &BTreeSet<Finding>) -> Report {
        let mut report = Report::default();
        self.told.retain(|finding| findings.contains(finding));
        let untold: Vec<Finding> = findings.difference(&self.told).cloned().collect();
        for finding in untold {
            match self.tell_one(&finding).await {
                Ok(written) => {
                    report.written += written;
                    self.told.insert(finding);
                }
                Err(error) => {
                    let why = with_causes(error.as_ref());
                    report.failures.push(Failure { what: format!("Event on {}", finding.object), why });
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

fn note(finding: &Finding, subject: Subject) -> EventNote {
    let message = match finding.field.as_str() {
        "" => finding.message.clone(),
        field => format!("{field}: {}", finding.message),
    };
    EventNote {
        subject,
        kind: EventKind::Warning,
        reason: finding.reason.to_owned(),
        message,
        component: COMPONENT.to_owned(),
        host: None,
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Severity;
    use types::ObjectRef;

    #[test]
    fn an_event_names_the_field() {
        let object = ObjectRef { kind: "Ingress".into(), namespace: Some("shop".into()), name: "web".into() };
        let finding = Finding {
            severity: Severity::Error,
            object: object.clone(),
            field: "spec.tls[0].secretName".into(),
            reason: "SecretMissing",
            message: "Secret shop/cert does not exist".into(),
        };
        let subject = Subject { api_version: "networking.k8s.io/v1".into(), object, uid: "u".into() };
        let note = note(&finding, subject);
        assert_eq!(note.message, "spec.tls[0].secretName: Secret shop/cert does not exist");
        assert_eq!(note.reason, "SecretMissing");
    }
}
