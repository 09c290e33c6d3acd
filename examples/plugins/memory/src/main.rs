//! The same plugin as a process.

fn main() -> std::process::ExitCode {
    perennial_sdk::serve::<perennial_memory::Memory>()
}
