//! The rules of the repository, as a command and as a test.

mod imports;
mod sources;

pub(crate) use imports::PURE_CRATES;

use anyhow::{Result, bail};

/// Every rule that is broken, one sentence each.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut problems = imports::problems()?;
    problems.extend(sources::problems()?);
    Ok(problems)
}

/// `cargo xtask tidy`.
pub(crate) fn command() -> Result<()> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} rules broken", problems.len());
    }
    println!("tidy");
    Ok(())
}

/// Crates that an agent does not consist of: the lab, its API, the binary, what is for tests.
const BESIDE_THE_AGENT: &[&str] =
    &["controllers", "engine-schema", "engine-store", "lab", "sealane", "serve-api", "testkit"];

/// How the production lines are spread over the purity line.
pub(crate) fn report() -> Result<()> {
    let (mut all, mut agent) = ([0, 0], [0, 0]);
    for (name, lines) in sources::production_lines()? {
        let is_below = !PURE_CRATES.contains(&name.as_str());
        all[usize::from(is_below)] += lines;
        if !BESIDE_THE_AGENT.contains(&name.as_str()) {
            agent[usize::from(is_below)] += lines;
        }
        println!("{lines:>6}  {name}{}", if is_below { "  (below the line)" } else { "" });
    }
    for (what, [above, below]) in [("all crates", all), ("the agent's features", agent)] {
        let percent = above * 100 / (above + below).max(1);
        println!("{what}: {above} lines above the purity line, {below} below: {percent} % above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let problems = super::problems().expect("the source tree can be read");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
