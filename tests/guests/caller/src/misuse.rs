//! Calls that are not brought to their end.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, ResponseOutparam};

use crate::call::{Call, wait_for};
use crate::{Query, respond};

/// Takes the head and not the body.
pub fn ignore(out: ResponseOutparam, query: &Query) {
    for _ in 0..query.number("n").unwrap_or(1) {
        if let Err(code) = Call::of(query).finish() {
            return respond(out, 555, &format!("{code:?}"));
        }
    }
    respond(out, 200, "ignored");
}

/// Sends, and does not wait.
pub fn drop_early(out: ResponseOutparam, query: &Query) {
    for _ in 0..query.number("n").unwrap_or(1) {
        if let Err(code) = Call::of(query).send() {
            return respond(out, 555, &format!("{code:?}"));
        }
    }
    respond(out, 200, "dropped");
}

/// Reads the first piece of the answer.
pub fn half(out: ResponseOutparam, query: &Query) {
    let answer = match Call::of(query).finish() {
        Ok(answer) => answer,
        Err(code) => return respond(out, 555, &format!("{code:?}")),
    };
    let body = answer.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let length = stream.blocking_read(1000).map_or(0, |part| part.len());
    respond(out, 200, &format!("half: {length}"));
}

/// Forgets a call that is open, handle and all.
pub fn leak(out: ResponseOutparam, query: &Query) {
    std::mem::forget(Call::of(query).send());
    respond(out, 200, "leaked");
}

/// Ends with a call open.
pub fn trap_open(query: &Query) {
    let pending = Call::of(query).send();
    std::mem::forget(pending);
    if query.text("wait") == "yes" {
        crate::wait(query.number("ms").unwrap_or(100));
    }
    core::arch::wasm32::unreachable();
}

/// A request whose body never gets its end.
pub fn unfinished(out: ResponseOutparam, query: &Query) {
    let call = Call::of(query);
    let body = call.request.body().expect("the body is taken once");
    let pending = match outgoing_handler::handle(call.request, None) {
        Ok(pending) => pending,
        Err(code) => return respond(out, 555, &format!("{code:?}")),
    };
    crate::write(&body, b"half of it");
    drop(body);
    match wait_for(&pending) {
        Ok(answer) => crate::call::pass(out, &answer),
        Err(code) => respond(out, 555, &format!("{code:?}")),
    }
}

/// Which of these headers a guest may not even write.
pub fn forbidden(out: ResponseOutparam, query: &Query) {
    let refused: Vec<_> = query.all("h").filter(|name| Fields::new().append(name, b"x").is_err()).collect();
    respond(out, 200, &refused.join(" "));
}
