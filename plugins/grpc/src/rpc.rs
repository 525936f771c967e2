//! A call from its first header to its last trailer.
//!
//! A failure before the first message is said in the head of the response, which is then all of it ("trailers-only");
//! any other in the trailers. Nothing is compressed, in either direction.

use std::io::{self, Read, Write};
use std::time::Duration;

use prost::Message;
use wharf_sdk::{Request, Response};

use crate::deadline::Deadline;
use crate::frame;
use crate::partner::Partners;
use crate::status::{self, Code, Status};

const GRPC: &str = "application/grpc";

pub(crate) struct Rpc {
    body: Box<dyn Read>,
    partners: Partners,
}

/// What writes the messages of a stream.
pub(crate) type Stream = Box<dyn FnOnce(&mut Out) -> Result<(), Stop>>;

/// Why a stream ends early.
pub(crate) enum Stop {
    /// There is a reason, which the client is told.
    Failed(Status),
    /// Nobody listens.
    Gone(io::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// The way to the client.
pub(crate) struct Out<'a>(&'a mut dyn Write);

impl Out<'_> {
    /// Sends a message; it is on its way when this returns.
    pub(crate) fn send(&mut self, message: &impl Message) -> Result<(), Stop> {
        frame::write(self.0, message).map_err(Stop::Gone)
    }
}

/// Whether it is a call of gRPC with messages of protobuf.
pub(crate) fn is_grpc(request: &Request) -> bool {
    let kind = request.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == GRPC || kind == "application/grpc+proto"
}

impl Rpc {
    pub(crate) fn new(request: &mut Request, longest: Duration) -> Result<Self, Status> {
        let deadline = Deadline::new(request.header("grpc-timeout").as_deref(), longest)?;
        if let Some(encoding) = request.header("grpc-encoding").filter(|encoding| encoding != "identity") {
            return Err(Status::new(Code::Unimplemented, format!("messages in `{encoding}` are not understood")));
        }
        let partners = Partners::new(request, deadline);
        Ok(Self { body: request.body_reader(), partners })
    }

    /// One message in, one out.
    pub(crate) fn unary<Q, A>(self, answer: fn(Q, &Partners) -> Result<A, Status>) -> Response
    where
        Q: Message + Default,
        A: Message + 'static,
    {
        self.stream(move |question, partners| {
            let message = answer(question, &partners)?;
            Ok(Box::new(move |out: &mut Out| out.send(&message)))
        })
    }

    /// One message in, any number out.
    pub(crate) fn stream<Q: Message + Default>(
        mut self,
        answer: impl FnOnce(Q, Partners) -> Result<Stream, Status>,
    ) -> Response {
        let question = only(self.body.as_mut());
        match question.and_then(|question| answer(question, self.partners)) {
            Ok(write) => streamed(write),
            Err(status) => refused(status),
        }
    }

    /// Any number in, one out for each, as soon as it is there.
    pub(crate) fn both_ways<Q, A>(self, answer: fn(Q) -> A) -> Response
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
    {
        let Self { mut body, partners } = self;
        streamed(Box::new(move |out: &mut Out| {
            while let Some(question) = frame::read(body.as_mut())? {
                partners.deadline.left()?;
                out.send(&answer(question))?;
            }
            Ok(())
        }))
    }
}

/// The one message of a request.
fn only<Q: Message + Default>(body: &mut dyn Read) -> Result<Q, Status> {
    let one = || Status::new(Code::InvalidArgument, "the request is to have one message");
    let question = frame::read(body)?.ok_or_else(one)?;
    match frame::read::<Q>(body)? {
        None => Ok(question),
        Some(_) => Err(one()),
    }
}

fn streamed(write: Stream) -> Response {
    let response = Response::stream_with_trailers(GRPC, |out| match write(&mut Out(out)) {
        Ok(()) => Ok(status::ok()),
        Err(Stop::Failed(status)) => Ok(status.trailers()),
        Err(Stop::Gone(error)) => Err(error),
    });
    response.header("grpc-accept-encoding", "identity")
}

/// A call that failed before there was anything to say.
pub(crate) fn refused(status: Status) -> Response {
    let response = Response::empty(200).header("content-type", GRPC).header("grpc-accept-encoding", "identity");
    status.trailers().iter().fold(response, |response, (name, value)| response.header(name, value))
}
