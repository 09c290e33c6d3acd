//! Prompts, resources and completions of saved servers, as the host's own.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_sdk::{BoxFuture, Error, ErrorCode};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CompleteRequestParams, ErrorCode as RpcCode, GetPromptRequestParams, ReadResourceRequestParams, Reference,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde_json::{Map, Value, json};

use super::{
    Reply, asking,
    caller::Inputs,
    changes::{Changes, tell_subscription},
    conversation::{Round, Subject, converse, is_stateless},
    passed::Passed,
    rounds::InputRequired,
    server::{Server, client, passed_on_meta},
    suspended::Outcome,
};
use crate::{
    offers::{Listed, NoPlace, Place, Watching},
    tools::{Call, Failure, ask_saved, watch_saved},
};

/// The resources that a session wants to hear of, by the URIs that its client knows.
#[derive(Clone, Default)]
pub(super) struct Subscriptions(Arc<Mutex<Vec<(String, Watching)>>>);

/// Subscriptions of one session.
const MOST_SUBSCRIPTIONS: usize = 1000;

impl Server {
    /// What the servers that are shown offer, once it is known which these are.
    pub(super) async fn listed(&self) -> Listed {
        let shown = self.host.exposure.listed(&self.host.library).await;
        self.host.offered.listed(shown).await
    }

    /// Lets a list be the answer, with definitions as their servers gave them.
    pub(super) fn list<'a>(
        &self,
        member: &str,
        items: impl Iterator<Item = &'a Value>,
        context: &RequestContext<RoleServer>,
    ) {
        let mut result = Map::new();
        result.insert(member.into(), items.cloned().collect());
        let list = Passed::new(Value::Object(result).to_string().into());
        self.past.park(context, if is_stateless(context) { list.cacheable() } else { list });
    }

    pub(super) async fn prompt(
        &self,
        params: GetPromptRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Some(own) = self.own_prompt(&params, context).await {
            self.park(own?, Passed::with_result_type, context);
            return Ok(());
        }
        let GetPromptRequestParams { name, arguments, input_responses, request_state, .. } = params;
        let listed = self.listed().await;
        let place = listed.prompt(&name).cloned().ok_or_else(|| no_prompt(&name))?;
        let subject = Subject::of(context, &("prompts/get", &name, &arguments));
        let mut params = Map::from_iter([("name".to_owned(), Value::from(place.own.as_str()))]);
        params.extend(arguments.map(|arguments| ("arguments".to_owned(), arguments.into())));
        let inputs = Inputs { responses: input_responses.map(|all| all.into_iter().collect()), state: request_state };
        let passed = self.ask(place, "prompts/get", params, subject, inputs, context).await?;
        self.park(passed, Passed::with_result_type, context);
        Ok(())
    }

    pub(super) async fn resource(
        &self,
        params: ReadResourceRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Some(own) = self.own_resource(&params.uri, context).await {
            self.park(own?, Passed::cacheable, context);
            return Ok(());
        }
        let ReadResourceRequestParams { uri, input_responses, request_state, .. } = params;
        let place = self.place(&uri).await?;
        let subject = Subject::of(context, &("resources/read", &uri));
        let params = Map::from_iter([("uri".to_owned(), Value::from(place.own.as_str()))]);
        let inputs = Inputs { responses: input_responses.map(|all| all.into_iter().collect()), state: request_state };
        let passed = self.ask(place, "resources/read", params, subject, inputs, context).await?;
        self.park(passed, Passed::cacheable, context);
        Ok(())
    }

    pub(super) async fn completion(
        &self,
        params: CompleteRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if let Some(own) = self.own_completion(&params, context).await {
            self.park(own, Passed::with_result_type, context);
            return Ok(());
        }
        let listed = self.listed().await;
        let mut passed_on = json!({ "ref": params.r#ref, "argument": params.argument });
        if let Some(completed) = &params.context {
            passed_on["context"] = serde_json::to_value(completed).unwrap_or_default();
        }
        let (place, key) = match &params.r#ref {
            Reference::Prompt(prompt) => {
                (listed.prompt(&prompt.name).cloned().ok_or_else(|| no_prompt(&prompt.name))?, "name")
            }
            Reference::Resource(resource) => match listed.template(&resource.uri) {
                Some(place) => (place, "uri"),
                None => (listed.resource(&resource.uri).map_err(|none| no_resource(&resource.uri, none))?, "uri"),
            },
            _ => return Err(ErrorData::invalid_params("`ref` is neither a prompt nor a resource", None)),
        };
        passed_on["ref"][key] = place.own.as_str().into();
        let Value::Object(params) = passed_on else { unreachable!("an object was written") };
        let subject = Subject::of(context, &());
        let passed = self.ask(place, "completion/complete", params, subject, Inputs::default(), context).await?;
        self.park(passed, Passed::with_result_type, context);
        Ok(())
    }

    /// Hears of a resource from now on.
    pub(super) async fn subscribe_to(
        &self,
        uri: String,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let place = self.place(&uri).await?;
        let watching = self.host.offered.watch(place.clone());
        watch_saved(&self.call(Round::plain(context), context), &place).await.map_err(own_error)?;
        if !self.subscriptions.add(uri, watching) {
            let why = format!("a session may subscribe to {MOST_SUBSCRIPTIONS} resources");
            return Err(ErrorData::invalid_request(why, None));
        }
        Ok(())
    }

    /// Tells a subscription of what changes, until it ends.
    pub(super) async fn subscribed(&self, subscription: &SubscriptionContext) {
        let context = subscription.request_context();
        let (changes, _) = Changes::new(self.host.clone(), &self.registry, client(context)).await;
        let subscriptions = Subscriptions::default();
        for uri in subscription.accepted().resource_subscriptions.iter().flatten() {
            let Ok(place) = self.place(uri).await else { continue };
            let watching = self.host.offered.watch(place.clone());
            if watch_saved(&self.call(Round::plain(context), context), &place).await.is_ok() {
                subscriptions.add(uri.clone(), watching);
            }
        }
        tell_subscription(changes, subscription, |place| subscriptions.called(place)).await;
    }

    async fn place(&self, uri: &str) -> Result<Place, ErrorData> {
        self.listed().await.resource(uri).map_err(|none| no_resource(uri, none))
    }

    async fn ask(
        &self,
        place: Place,
        method: &'static str,
        params: Map<String, Value>,
        subject: Option<Subject>,
        inputs: Inputs,
        context: &RequestContext<RoleServer>,
    ) -> Result<Passed, ErrorData> {
        let begin = |round: Round| -> BoxFuture<'static, Outcome> {
            let call = self.call(round, context);
            Box::pin(async move {
                ask_saved(call, &place, method, params).await.map(Reply::Passed).map_err(|failure| match failure {
                    Failure::Refused { code, message, data } => ErrorData::new(RpcCode(code), message, data),
                    Failure::Own(error) => own_error(error),
                })
            })
        };
        let aside = self.past.aside(context);
        let log = self.log(&aside, context);
        let reply = converse(&self.suspended, context, aside.progress(), log, subject, inputs, begin).await;
        aside.flushed().await;
        match reply? {
            Reply::Passed(passed) => Ok(passed),
            Reply::Said(_) | Reply::Value(_) | Reply::Refused { .. } => {
                Err(ErrorData::internal_error("no result came", None))
            }
        }
    }

    pub(super) fn call(&self, round: Round, context: &RequestContext<RoleServer>) -> Call {
        let Round { caller, cancelled, progress } = round;
        Call {
            host: self.host.clone(),
            cancelled,
            progress,
            meta: passed_on_meta(context),
            ask: asking::ask(&caller),
            caller,
            client: client(context),
        }
    }

    fn park(&self, passed: Passed, modern: impl Fn(Passed) -> Passed, context: &RequestContext<RoleServer>) {
        let asks = InputRequired::of(passed.as_bytes()).is_some();
        // a request that nobody waits for any more gets no answer, whatever is returned by its handler
        self.past.park(context, if is_stateless(context) && !asks { modern(passed) } else { passed });
    }
}

impl Subscriptions {
    /// Tells sessions apart.
    pub(super) fn session(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn add(&self, uri: String, watching: Watching) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != uri);
        let room = all.len() < MOST_SUBSCRIPTIONS;
        if room {
            all.push((uri, watching));
        }
        room
    }

    pub(super) fn remove(&self, uri: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != uri);
    }

    /// What the client calls a resource that it subscribed to.
    pub(super) fn called(&self, place: &Place) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(_, watching)| watching.place == *place).map(|(uri, _)| uri.clone())
    }
}

fn no_prompt(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("unknown prompt `{name:.200}`; `prompts/list` shows those that there are"), None)
}

fn no_resource(uri: &str, none: NoPlace) -> ErrorData {
    match none {
        NoPlace::Unknown => ErrorData::resource_not_found(
            format!("no saved server that is shown is known to have the resource `{uri:.200}`"),
            Some(json!({ "uri": uri })),
        ),
        NoPlace::Ambiguous(uris) => ErrorData::invalid_params(
            format!("several servers may have the resource `{uri:.200}`: name one by its own URI"),
            Some(json!({ "uri": uri, "uris": uris })),
        ),
    }
}

pub(super) fn own_error(error: Error) -> ErrorData {
    let code = match error.code {
        ErrorCode::NotFound | ErrorCode::Invalid => RpcCode::INVALID_PARAMS,
        _ => RpcCode::INTERNAL_ERROR,
    };
    let hint = error.hint.as_ref().map(|hint| json!({ "hint": hint }));
    ErrorData::new(code, error.to_string(), hint)
}
