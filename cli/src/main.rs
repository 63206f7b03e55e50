//! The `bywash` program; see `bywash help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bywash_cli::main()
}
