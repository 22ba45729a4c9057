//! docs/configuration.md: the page is made by the binary, from the declarations of its keys.

use std::path::Path;

use anyhow::Result;

use crate::process::{output, words};

const PAGE: &str = "docs/configuration.md";

/// Writes the page. That it is up to date is checked by a test of the server, so that the fast
/// checks need no build of it.
pub fn run(check: bool) -> Result<()> {
    if check {
        return Ok(());
    }
    let make = "cargo run -q -p runelog-server --bin runelog -- config reference";
    std::fs::write(Path::new(PAGE), output(&mut words(make))?)?;
    Ok(())
}
