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

/// How the production lines are spread over the purity line.
pub(crate) fn report() -> Result<()> {
    let mut totals = [0, 0];
    for (name, lines) in sources::production_lines()? {
        let pure = PURE_CRATES.contains(&name.as_str());
        totals[usize::from(!pure)] += lines;
        println!("{:>6}  {name}{}", lines, if pure { "" } else { "  (below the line)" });
    }
    let [above, below] = totals;
    println!("{above} lines above the purity line, {below} below");
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
