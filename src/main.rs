//! The program `hotpair`. Everything it does is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hotpair::cli::main()
}
