//! `sealane dns import FILE`: what is taken over of a Corefile, line by line.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use engine_corefile::{Line, Sources, Verdict, read};
use serde::Serialize;

use crate::output::{Output, Style, print_json, print_line};

/// What `sealane dns import` takes.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The Corefile; `-` is standard input.
    file: PathBuf,
    /// A file that it imports or names; more may be given.
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// One line as JSON.
#[derive(Debug, Serialize)]
struct LineRow<'l> {
    file: &'l str,
    line: u32,
    text: &'l str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instead: &'l str,
}

/// Reads and prints.
pub(crate) fn run(args: &ImportArgs) -> Result<i32> {
    let mut files = BTreeMap::new();
    for path in &args.with {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.insert(name, text_of(path)?);
    }
    let corefile = read(&Sources { corefile: text_of(&args.file)?, files });
    match args.output {
        Output::Json => print_json(&corefile.lines.iter().map(row).collect::<Vec<_>>())?,
        Output::Text => {
            let style = Style::of_stdout();
            corefile.lines.iter().for_each(|line| print_line(&shown(line, style)));
        }
    }
    let is_missing = |line: &Line| matches!(line.verdict, Verdict::NotTaken { .. } | Verdict::Broken { .. });
    Ok(i32::from(corefile.lines.iter().any(is_missing)))
}

/// The text of a file; `-` is standard input.
pub(super) fn text_of(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn shown(line: &Line, style: Style) -> String {
    let verdict = line.verdict.to_string();
    let verdict = match line.verdict {
        Verdict::Taken | Verdict::Own { .. } => style.good(&verdict),
        Verdict::Needless { .. } => style.dim(&verdict),
        _ => style.warning(&verdict),
    };
    format!("{}: {}: {verdict}", line.at, style.bold(&line.text))
}

fn row(line: &Line) -> LineRow<'_> {
    let (verdict, why, instead) = match &line.verdict {
        Verdict::Taken => ("taken", "", ""),
        Verdict::Own { how } => ("own", how.as_str(), ""),
        Verdict::Needless { why } => ("needless", why.as_str(), ""),
        Verdict::Changed { how } => ("changed", how.as_str(), ""),
        Verdict::NotTaken { why, instead } => ("notTaken", why.as_str(), instead.as_str()),
        Verdict::Broken { why } => ("broken", why.as_str(), ""),
    };
    LineRow { file: &line.at.file, line: line.at.line, text: &line.text, verdict, why, instead }
}
