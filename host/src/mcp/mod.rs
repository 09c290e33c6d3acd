//! The Model Context Protocol: the only place that knows rmcp.
//!
//! Both sides run on transports of our own, since rmcp's trust their peers too much: upstream a client may hand over any
//! kind of descriptor and send any bytes, downstream a server that a model wrote may print whatever it likes.

mod answered;
mod asking;
mod attending;
mod caller;
mod calls;
mod changes;
mod conversation;
mod downstream;
mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handshake;
pub mod http;
mod lines;
mod listening;
mod logging;
mod offered;
mod offering;
mod outbox;
mod own;
mod passed;
mod past;
mod questions;
mod reply;
mod result;
mod rounds;
pub mod server;
mod session;
mod stdio;
mod suspended;
mod upstream;

pub use asking::{Ask, Decision};
pub use caller::Caller;
pub use calls::{News, ProgressSink};
pub(crate) use lines::{Line, Lines};
pub(crate) use outbox::Outbox;
pub use passed::Passed;
pub use reply::{Reply, Said};
pub use session::{Asks, CallEnd, Request, Session, SessionLimits, ToolCall};
pub use stdio::Wire;
