//! Rules about single source files: first lines, names, sizes, and that every file is compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::root;

/// Lines of production code in one file at most; tests stand apart.
const MAX_FILE_LINES: usize = 700;
/// Lines of production code in one crate at most.
const MAX_CRATE_LINES: usize = 8000;
/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "mod"];

/// Every rule about source files that is broken.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in rust_files()? {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        problems.extend(file_problems(&relative(&file), &text));
        if !is_reached(&file)? {
            problems.push(format!("{}: no `mod` line leads here, so it is never compiled", relative(&file)));
        }
    }
    for (name, lines) in production_lines()? {
        if lines > MAX_CRATE_LINES {
            problems.push(format!("crates/{name}: {lines} lines; split it ({MAX_CRATE_LINES} at most)"));
        }
    }
    Ok(problems)
}

fn file_problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        problems.push(format!("{name}: a file's name says what it is for; `{stem}` does not"));
    }
    if !text.starts_with("//! ") {
        problems.push(format!("{name}: does not open with `//!` and what it is for"));
    }
    let lines = production_part(name, text);
    if lines > MAX_FILE_LINES {
        problems.push(format!("{name}: {lines} lines; split it ({MAX_FILE_LINES} at most)"));
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[ignore") {
            problems.push(format!("{name}:{}: a test is run or deleted, not ignored", number + 1));
        }
    }
    problems
}

/// Lines before the tests of a file; 0 for files that are tests.
fn production_part(name: &str, text: &str) -> usize {
    if is_test(name) {
        return 0;
    }
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

fn is_test(name: &str) -> bool {
    let in_folder =
        ["tests", "benches", "examples"].iter().any(|folder| name.contains(&format!("/{folder}/")));
    in_folder || name.ends_with("tests.rs") || name.ends_with("test_world.rs")
}

/// Lines of production code, by crate directory.
pub(crate) fn production_lines() -> Result<BTreeMap<String, usize>> {
    let mut lines = BTreeMap::new();
    for file in rust_files()? {
        let name = relative(&file);
        let Some(directory) = name.strip_prefix("crates/").and_then(|rest| rest.split('/').next()) else {
            continue;
        };
        let text = std::fs::read_to_string(&file).with_context(|| name.clone())?;
        *lines.entry(directory.to_owned()).or_default() += production_part(&name, &text);
    }
    Ok(lines)
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// All `.rs` files of the workspace.
fn rust_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether cargo takes the files of this folder for roots of their own.
fn is_target_folder(folder: &Path) -> bool {
    ["tests", "benches", "examples", "bin"].iter().any(|name| folder.ends_with(name))
}

/// Whether the file is a crate root, or its parent module names it.
fn is_reached(file: &Path) -> Result<bool> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = file.parent().expect("a file lies in a folder");
    let folder_name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_root = matches!(stem, "main" | "lib") && folder_name == "src"
        || is_target_folder(folder) && !folder.with_extension("rs").exists()
        || stem == "main" && folder.parent().is_some_and(is_target_folder)
        || stem == "build";
    if is_root {
        return Ok(true);
    }
    let parents = [folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
    for parent in parents {
        let Ok(text) = std::fs::read_to_string(&parent) else { continue };
        let names_it = text.lines().any(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
            line.strip_prefix("mod ").is_some_and(|rest| rest.trim_end_matches(';').trim_end() == stem)
        });
        if names_it {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let problems = file_problems("crates/x/src/utils.rs", "fn f() {}\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(file_problems("crates/x/src/route.rs", "//! Routes.\n").is_empty());
    }
}
