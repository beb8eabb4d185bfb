//! One request: checked, then answered as its token's script says.

use std::future::pending;
use std::sync::atomic::Ordering;

use driftless_protocol::Provider;
use h2::Reason;
use http::Method;

use super::answer::{Answer, Reply};
use super::call::{Accepted, Call, Door};
use super::ledger::Entry;
use super::refusal::Refusal;
use super::shared::Shared;
use super::{apns, fcm, reply, webpush};

/// What the token endpoint's script is named: the end of its address, as with subscriptions.
const TOKEN_ENDPOINT: &str = "token";

const TOKEN_PATH: &str = "/token";

/// How a request ends.
pub(super) enum Outcome {
    Reply(Reply),
    Reset(Reason),
    Cut,
}

/// Answers a push.
pub(super) async fn answer(shared: &Shared, call: Call) -> Outcome {
    let (site, checked) = check(shared, &call);
    let outcome = match checked {
        Ok(accepted) => {
            let answer = shared.directory.next(&accepted.token);
            perform(shared, answer, || accept(shared, &call, &accepted)).await
        }
        Err(refusal) => {
            shared.ledger.refuse(site, &refusal);
            Outcome::Reply(*refusal.reply)
        }
    };
    match outcome {
        Outcome::Reply(mut reply) if site == "apns" => {
            reply.headers_mut().insert("apns-id", apns::id(&call));
            Outcome::Reply(reply)
        }
        other => other,
    }
}

/// Who is asked, and what they say to it.
fn check(shared: &Shared, call: &Call) -> (&'static str, Result<Accepted, Refusal>) {
    match call.door {
        Door::Main if call.path().starts_with(fcm::PATH) => ("fcm", fcm::check(shared, call)),
        Door::Main if call.path().starts_with(webpush::PATH) => ("webpush", webpush::check(shared, call)),
        Door::Main | Door::Sandbox | Door::Tokens => ("apns", apns::check(shared, call)),
    }
}

/// Keeps and counts a push.
fn accept(shared: &Shared, call: &Call, accepted: &Accepted) -> Reply {
    let Accepted { provider, token, content, reply } = accepted;
    let ledger = &shared.ledger;
    if ledger.keeps() {
        let names = match provider {
            Provider::Apns | Provider::ApnsSandbox => apns::HEADERS,
            Provider::Fcm => &[],
            Provider::Webpush => webpush::HEADERS,
        };
        ledger.accept(Entry {
            provider: *provider,
            token: token.clone(),
            headers: names.iter().filter_map(|name| Some((*name, call.header(name)?.to_owned()))).collect(),
            content: content.compact(),
            at_ms: shared.clock.now_ms(),
            connection: call.connection,
            stream: call.stream,
            attempt: shared.directory.attempts_of(token),
        });
    }
    ledger.accepted.fetch_add(1, Ordering::Relaxed);
    shared.directory.accepted(token);
    ledger.news.notify_waiters();
    reply.clone()
}

/// Answers a sender that wants an access token.
pub(super) async fn token_endpoint(shared: &Shared, call: Call) -> Outcome {
    shared.ledger.token_calls.fetch_add(1, Ordering::Relaxed);
    if call.path() != TOKEN_PATH || call.method != Method::POST {
        let refusal = Refusal::fault(reply::empty(404), "NOT_FOUND", "the token endpoint is POST /token");
        shared.ledger.refuse("token endpoint", &refusal);
        return Outcome::Reply(*refusal.reply);
    }
    let form = std::str::from_utf8(&call.body).unwrap_or_default();
    if let Err(refusal) = shared.access_tokens.check(form, shared.clock.now_s()) {
        shared.ledger.refuse("token endpoint", &refusal);
        return Outcome::Reply(*refusal.reply);
    }
    let answer = shared.directory.next(TOKEN_ENDPOINT);
    perform(shared, answer, || shared.access_tokens.issue(shared.clock.now_s())).await
}

/// Does what a script says.
async fn perform(shared: &Shared, mut answer: Answer, accept: impl Fn() -> Reply) -> Outcome {
    loop {
        answer = match answer {
            Answer::Always(answer) => *answer,
            Answer::After(latency, answer) => {
                tokio::time::sleep(latency).await;
                *answer
            }
            Answer::Accept => return Outcome::Reply(accept()),
            Answer::Lost => {
                drop(accept());
                return pending().await;
            }
            Answer::Reply(reply) => {
                shared.ledger.count_refused(&format!("scripted {}", reply.status().as_u16()));
                return Outcome::Reply(reply);
            }
            Answer::Hang => {
                shared.ledger.count_refused("scripted hang");
                return pending().await;
            }
            Answer::Reset => {
                shared.ledger.count_refused("scripted reset");
                return Outcome::Reset(Reason::INTERNAL_ERROR);
            }
            Answer::Refused => {
                shared.ledger.count_refused("scripted refused");
                return Outcome::Reset(Reason::REFUSED_STREAM);
            }
            Answer::Cut => {
                shared.ledger.count_refused("scripted cut");
                return Outcome::Cut;
            }
        }
    }
}
