//! `sealane lab tour`: a lab, the examples, and eleven lessons with real traffic.

pub(crate) mod guide;
mod lessons;

use anyhow::Result;
use serde::Serialize;

use self::guide::{Guide, Trial};
use self::lessons::{LESSONS, Lesson};
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
}

/// All lessons, one after the other; `tell` hears each outcome as it is there.
pub(crate) async fn run(reach: &Reach, mut tell: impl FnMut(&Outcome) -> Result<()>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for lesson in LESSONS {
        let outcome = run_lesson(reach, lesson).await;
        tell(&outcome)?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn run_lesson(reach: &Reach, lesson: &Lesson) -> Outcome {
    let mut guide = Guide::new(reach.clone());
    let done = match guide.apply(lesson.manifest).await {
        Ok(()) => (lesson.run)(&mut guide).await,
        Err(error) => Err(error),
    };
    let error = done.err().map(|error| format!("{error:#}"));
    let ok = error.is_none() && !guide.trials.is_empty() && guide.trials.iter().all(|trial| trial.ok);
    Outcome {
        number: lesson.number,
        title: lesson.title,
        manifest: format!("examples/{}", lesson.file),
        applied: guide.applied,
        trials: guide.trials,
        error,
        ok,
    }
}

impl Outcome {
    /// Whether everything observed is as stated.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    /// The lesson as a person reads it.
    pub(crate) fn text(&self, style: Style) -> String {
        let mut lines = vec![style.bold(&format!("({}) {}", self.number, self.title))];
        lines.push(format!("  applied   {}: {}", self.manifest, self.applied.join(", ")));
        for trial in &self.trials {
            lines.push(String::new());
            lines.push(format!("  tried     {}", style.dim(&trial.tried)));
            lines.push(format!("  expected  {}", trial.expected));
            let mark = if trial.ok { style.good("✓") } else { style.bad("✗") };
            lines.push(format!("  happened  {mark} {}", trial.observed));
            if let Some(why) = &trial.why {
                lines.push(format!("  why       {}", why.question));
                lines.extend(why.hops.iter().map(|hop| format!("            {hop}")));
                lines.push(format!("            = {}", why.summary));
            }
        }
        lines.extend(self.error.as_ref().map(|error| format!("  {} {error}", style.bad("stopped"))));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Colours, on a terminal only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether to colour at all.
    pub(crate) is_coloured: bool,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}
