//! The forty-five faults, each provoked through the real binary; the number of a fault is in its test's name, and
//! `docs/faults.md` is the table of them.

mod soak;
