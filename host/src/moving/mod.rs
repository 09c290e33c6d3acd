//! Saved servers on the move: from one storage to another, into a file and out of it.
//!
//! Whatever is moved goes through [`bring`]: every version of one server, in order, onto what is there already. What does
//! not continue the history that the target has is a conflict; nothing is ever merged or written over.

mod bring;
mod bundle;
mod content;
mod copy;
mod import;
mod plan;
mod strict;

pub use bring::{Brought, Moved, Outcome, bring, marks};
pub use bundle::{Bundle, FORMAT, FORMAT_VERSION, bundle};
pub use content::digest;
pub use copy::{CopiedServer, Copy, Ends, Tally, copy};
pub use import::{Choice, Imported, MOST_BYTES, import};
pub use plan::{Mark, Plan, plan};
