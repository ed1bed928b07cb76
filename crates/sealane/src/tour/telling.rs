//! What a person reads while a lesson runs.

use explain::{HopVerdict, Stage};

use super::Outcome;
use super::guide::{SEPARATOR, Trial};
use crate::output::{Style, print_line};

/// Begins a further answer below the first.
const ANSWER_BELOW: &str = ";\n              ";

/// Tells a lesson as it happens, or nothing where a program reads the result.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Telling {
    /// In lines of text.
    Lines(Style),
    /// Not at all.
    Nothing,
}

impl Telling {
    fn say(self, text: impl FnOnce(Style) -> String) {
        if let Self::Lines(style) = self {
            print_line(&text(style));
        }
    }

    /// A lesson begins.
    pub(crate) fn begin(self, number: usize, count: usize, title: &str) {
        self.say(|style| style.bold(&format!("Lesson {number} of {count}: {title}")));
    }

    /// Its manifest is applied.
    pub(crate) fn applied(self, manifest: &str, objects: &[String]) {
        self.say(|_| format!("  applied   {manifest}: {}", objects.join(", ")));
    }

    /// Something is about to be tried; the answer may take a while.
    pub(crate) fn trying(self, tried: &str) {
        self.say(|style| format!("\n  tried     {}", style.dim(tried)));
    }

    /// What came of it. An explanation's lines that the lesson has shown before are not shown again.
    pub(crate) fn tried(self, trial: &Trial, before: &[Trial]) {
        self.say(|style| {
            let mark = if trial.ok { style.good("✓") } else { style.bad("✗") };
            let mut lines = vec![
                format!("  expected  {}", trial.expected),
                format!("  happened  {mark} {}", trial.observed.replace(SEPARATOR, ANSWER_BELOW)),
            ];
            if let Some(why) = &trial.why {
                let shown: Vec<_> = why.hops.iter().filter(|hop| is_worth_showing(hop, before)).collect();
                let shown = shown.into_iter().map(|hop| style.marks(&hop.to_string()));
                let ends = why.conclusion.listed().map(|end| format!("    {}", style.marks(&end)));
                let told = shown.chain(conclusion(why)).chain(ends);
                let heads = std::iter::once("why").chain(std::iter::repeat(""));
                lines.extend(heads.zip(told).map(|(head, line)| format!("  {head:<10}{line}")));
            }
            lines.join("\n")
        });
    }

    /// A lesson has ended.
    pub(crate) fn end(self, outcome: &Outcome) {
        self.say(|style| {
            let seconds =
                format!("{:.1} s", std::time::Duration::from_millis(outcome.millis as u64).as_secs_f32());
            match &outcome.error {
                Some(error) => format!("\n  {} {error}\n", style.bad("✗ stopped:")),
                None if outcome.ok => format!("\n  {} after {seconds}\n", style.good("✓ all as stated")),
                None => format!("\n  {} after {seconds}\n", style.bad("✗ not as stated")),
            }
        });
    }
}

/// How it ends; nothing where the last line has said all of it.
fn conclusion(why: &explain::Explanation) -> Option<String> {
    let last = why.hops.last().and_then(|hop| why.summary.strip_suffix(hop.text.as_str()));
    let told = last.map_or(why.summary.as_str(), |opening| opening.trim_end_matches([' ', ':']));
    (!told.is_empty()).then(|| format!("= {told}"))
}

/// Whether a line tells a learner something: that nothing limits a Pod does not, nor what this lesson has told already.
fn is_worth_showing(hop: &explain::Hop, before: &[Trial]) -> bool {
    let is_policy = matches!(hop.stage, Stage::Egress | Stage::Ingress);
    let is_nothing = is_policy && hop.verdict == HopVerdict::Pass && hop.object.is_none();
    let was_told = || {
        let whys = before.iter().filter_map(|trial| trial.why.as_ref());
        whys.flat_map(|why| &why.hops).any(|told| told == hop)
    };
    hop.verdict == HopVerdict::Stop || !(is_nothing || was_told())
}
