//! The Model Context Protocol: the only place that knows rmcp.
//!
//! Both sides run on transports of our own, since rmcp's trust their peers too much: upstream a client may hand over any
//! kind of descriptor and send any bytes, downstream a server that a model wrote may print whatever it likes.

mod asking;
mod calls;
mod downstream;
mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod http;
mod lines;
mod outbox;
mod passed;
mod past;
mod reply;
mod result;
pub mod server;
mod session;
mod stdio;
mod upstream;

pub use asking::{Ask, Decision};
pub use calls::ProgressSink;
pub(crate) use lines::{Line, Lines};
pub(crate) use outbox::Outbox;
pub use passed::Passed;
pub use reply::{Reply, Said};
pub use session::{CallEnd, Session, SessionLimits, ToolCall};
pub use stdio::Wire;
