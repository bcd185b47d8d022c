//! The console: checked by the compiler of its language, then bundled into `console/dist`, which the binary takes in.

use std::process::Command;

use anyhow::Result;

use crate::cargo::run;
use crate::install::{Purpose, install};
use crate::tree::root;

/// Installs what is missing, then makes it.
pub fn run_console() -> Result<()> {
    install(Purpose::Build)?;
    make()
}

/// Makes it from what is installed.
pub fn make() -> Result<()> {
    let folder = root().join("console");
    let compiler = folder.join("node_modules/.bin/tsc");
    run(Command::new(compiler).args(["--project", "."]).current_dir(&folder))?;
    run(Command::new("node").arg("build.mjs").current_dir(&folder))
}
