//! One request of a client, from its first round to its last.

use std::sync::Arc;

use perennial_sdk::BoxFuture;
use rmcp::{ErrorData, RoleServer, service::RequestContext};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    Caller, Passed, Reply,
    attending::attend,
    caller::Inputs,
    calls::ProgressSink,
    http::Exchange,
    logging::Log,
    questions::Questions,
    rounds::InputRequired,
    suspended::{Following, Outcome, Seal, State, Suspended, Work},
};

/// What a request is done with.
pub(super) struct Round {
    /// The client, as far as children have to do with it.
    pub(super) caller: Caller,
    /// The client gave up.
    pub(super) cancelled: CancellationToken,
    pub(super) progress: Option<ProgressSink>,
}

/// What a request is about: the same in all its rounds.
pub(super) struct Subject([u8; 32]);

/// Does what a client asks for, and asks it what is to be asked meanwhile, in the way of its era. What a client brings
/// back counts for no other request than one of the same [`Subject`].
pub(super) async fn converse(
    suspended: &Suspended,
    context: &RequestContext<RoleServer>,
    progress: Option<ProgressSink>,
    log: Option<Log>,
    subject: Option<Subject>,
    inputs: Inputs,
    begin: impl FnOnce(Round) -> BoxFuture<'static, Outcome>,
) -> Outcome {
    let (questions, mut asked) = Questions::to(context.client_capabilities().unwrap_or_default(), log);
    let Some(Subject(bound_to)) = subject else {
        let caller = Caller { questions, ..Caller::default() };
        let round = Round { caller, cancelled: context.ct.clone(), progress };
        return attend(&context.peer, &mut asked, begin(round)).await;
    };
    let state = match &inputs.state {
        Some(sealed) => Some(suspended.seal().open(sealed, &bound_to)?),
        None => None,
    };
    let work = match state {
        Some(State::Work(id)) => suspended.resume(id, inputs.responses, progress)?,
        state => {
            let state = state.and_then(|state| if let State::Child(state) = state { Some(state) } else { None });
            let inputs = Inputs { state, ..inputs };
            let (following, cancelled) = (Arc::new(Following::default()), CancellationToken::new());
            let sink = progress.is_some().then(|| following.sink());
            following.follow(progress);
            let caller = Caller { questions, inputs, stateless: true };
            let begun = begin(Round { caller, cancelled: cancelled.clone(), progress: sink });
            let seal = suspended.seal().clone();
            let work = async move { sealed(begun.await?, &seal, &bound_to) };
            Work::start(work, asked, following, cancelled.drop_guard())
        }
    };
    suspended.turn(work, &context.ct, &bound_to).await
}

impl Round {
    /// Of a request in which no child asks anything.
    pub(super) fn plain(context: &RequestContext<RoleServer>) -> Self {
        Self { caller: Caller::default(), cancelled: context.ct.clone(), progress: None }
    }
}

impl Subject {
    /// Of a request of a client that says all of itself in each; of others none is needed.
    pub(super) fn of(context: &RequestContext<RoleServer>, about: &impl Serialize) -> Option<Self> {
        let token = Exchange::of(&context.extensions).and_then(|exchange| exchange.token.as_ref());
        let of = (token, about);
        is_stateless(context).then(|| Self(Sha256::digest(serde_json::to_vec(&of).unwrap_or_default()).into()))
    }
}

/// Whether the client of a request says all of itself in each.
pub(super) fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| !version.has_initialize())
}

/// A result with which a child asks for input, its state sealed: a child may trust what it is given back.
fn sealed(reply: Reply, seal: &Seal, bound_to: &[u8]) -> Result<Reply, ErrorData> {
    let Reply::Passed(passed) = reply else { return Ok(reply) };
    if InputRequired::of(passed.as_bytes()).is_none() {
        return Ok(Reply::Passed(passed));
    }
    let mut result = passed.to_value();
    if let Some(state) = result.get_mut("requestState")
        && let Some(own) = state.as_str()
    {
        *state = seal.seal(&State::Child(own.to_owned()), bound_to)?.into();
    }
    Ok(Reply::Passed(Passed::new(result.to_string().into())))
}
