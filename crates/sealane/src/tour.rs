//! `sealane lab tour`: a lab, the examples, and eleven lessons with real traffic.

pub(crate) mod guide;
mod lessons;
pub(crate) mod telling;

use std::time::Instant;

use serde::Serialize;

use self::guide::{Guide, Trial};
use self::lessons::{LESSONS, Lesson};
use self::telling::Telling;
use crate::reach::Reach;

/// What one lesson came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    number: usize,
    title: &'static str,
    manifest: String,
    applied: Vec<String>,
    trials: Vec<Trial>,
    /// What kept the lesson from being finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether everything observed is as stated.
    ok: bool,
    /// How long it took, in milliseconds.
    millis: u128,
}

/// All lessons, one after the other, told as they happen.
pub(crate) async fn run(reach: &Reach, telling: Telling) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for lesson in LESSONS {
        outcomes.push(run_lesson(reach, lesson, telling).await);
    }
    outcomes
}

async fn run_lesson(reach: &Reach, lesson: &Lesson, telling: Telling) -> Outcome {
    let begun = Instant::now();
    let manifest = format!("examples/{}", lesson.file);
    telling.begin(lesson.number, LESSONS.len(), lesson.title);
    let mut guide = Guide::new(reach.clone(), telling);
    let done = match guide.apply(lesson.manifest).await {
        Ok(()) => {
            telling.applied(&manifest, &guide.applied);
            (lesson.run)(&mut guide).await
        }
        Err(error) => Err(error),
    };
    let error = done.err().map(|error| format!("{error:#}"));
    let ok = error.is_none() && !guide.trials.is_empty() && guide.trials.iter().all(|trial| trial.ok);
    let outcome = Outcome {
        number: lesson.number,
        title: lesson.title,
        manifest,
        applied: guide.applied,
        trials: guide.trials,
        error,
        ok,
        millis: begun.elapsed().as_millis(),
    };
    telling.end(&outcome);
    outcome
}

impl Outcome {
    /// Whether everything observed is as stated.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    /// Its number and title.
    pub(crate) fn name(&self) -> String {
        format!("({}) {}", self.number, self.title)
    }
}
