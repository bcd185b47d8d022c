//! The binary `carillon`.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::main()
}
