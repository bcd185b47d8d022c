//! The binary `carillon`.

use std::process::ExitCode;

/// Many small blocks that go from thread to thread: the system's allocator keeps more of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::main()
}
