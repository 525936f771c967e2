//! Both directions of a call at once: what is still to be sent, and the answer that may come meanwhile.
//!
//! A service may answer while it reads, and the host holds only some ten KiB of either direction. Who sends all before
//! it looks at the answer waits for a service that waits for it. So nothing here waits for one direction alone while
//! the other could go on; only the reader that gives the body is read as it comes.
//!
//! All of the body is sent, also when the answer is there first or even over: a service may say "accepted" and read on.
//! Only a service that takes no more ends that early, and whoever drops the answer: that ends the call, and the service
//! sees that something is missing. Nobody is kept waiting in a `drop`.

use std::io::{self, Read};

use wasip2::http::types::{FutureIncomingResponse, IncomingBody, OutgoingBody};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::CallError;

/// Bytes of body that are read at once.
const PIECE: usize = 16 << 10;

/// A request's body on its way. Dropped before its end, the service sees that something is missing.
///
/// The order of the first two matters: the stream goes before the body that it belongs to.
pub(super) struct Upload {
    stream: OutputStream,
    to: OutgoingBody,
    from: Box<dyn Read>,
    buffer: Vec<u8>,
    /// What of the buffer is not written yet.
    left: std::ops::Range<usize>,
    /// The reader is at its end.
    ended: bool,
}

/// What became of an upload.
enum Step {
    /// The host has no room for more now.
    Waits(Upload),
    /// All is sent, or nobody takes more.
    Over,
}

/// The answer's body, and what is still to be sent. The order matters as in [`Upload`].
pub(super) struct Download {
    stream: InputStream,
    _body: IncomingBody,
    upload: Option<Upload>,
}

impl Upload {
    pub(super) fn new(stream: OutputStream, to: OutgoingBody, from: Box<dyn Read>) -> Self {
        Self { stream, to, from, buffer: Vec::new(), left: 0..0, ended: false }
    }

    /// Sends what the host has room for.
    fn advance(mut self) -> io::Result<Step> {
        loop {
            if self.left.is_empty() && !self.ended {
                self.buffer.resize(PIECE, 0);
                self.left = 0..self.from.read(&mut self.buffer)?;
                self.ended = self.left.is_empty();
                if self.ended && self.stream.flush().is_err() {
                    return Ok(Step::Over);
                }
            }
            // Nobody reads on; the answer says why.
            let Ok(room) = self.stream.check_write() else { return Ok(Step::Over) };
            if room == 0 {
                return Ok(Step::Waits(self));
            }
            if self.ended {
                let Self { stream, to, .. } = self;
                drop(stream);
                let _ = OutgoingBody::finish(to, None);
                return Ok(Step::Over);
            }
            let length = self.left.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let part = self.buffer.get(self.left.start..self.left.start + length).unwrap_or_default();
            if self.stream.write(part).is_err() {
                return Ok(Step::Over);
            }
            self.left.start += length;
        }
    }

    /// Sends until the head of the answer is there. What is not sent then is left.
    pub(super) fn until(self, pending: &FutureIncomingResponse) -> Result<Option<Self>, CallError> {
        let head = pending.subscribe();
        let mut upload = Some(self);
        while let Some(one) = upload.take() {
            match one.advance().map_err(|error| CallError::Failed(error.to_string()))? {
                Step::Over => break,
                Step::Waits(waits) => {
                    wait(&head, &waits);
                    upload = Some(waits);
                    if head.ready() {
                        return Ok(upload);
                    }
                }
            }
        }
        head.block();
        Ok(None)
    }
}

/// Until one of both can go on.
fn wait(other: &Pollable, upload: &Upload) {
    let room = upload.stream.subscribe();
    poll(&[other, &room]);
}

impl Download {
    pub(super) fn new(stream: InputStream, body: IncomingBody, upload: Option<Upload>) -> Self {
        Self { stream, _body: body, upload }
    }

    /// The next piece of the answer; nothing if all is sent before it comes.
    fn read_while_sending(&mut self, upload: Upload, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut upload = upload;
        loop {
            match upload.advance()? {
                Step::Over => return Ok(None),
                Step::Waits(waits) => upload = waits,
            }
            match self.stream.read(buffer.len() as u64) {
                Ok(part) if part.is_empty() => wait(&self.stream.subscribe(), &upload),
                Ok(part) => {
                    // Never more than was asked for.
                    let length = part.len().min(buffer.len());
                    buffer.iter_mut().zip(&part).for_each(|(to, from)| *to = *from);
                    self.upload = Some(upload);
                    return Ok(Some(length));
                }
                Err(StreamError::Closed) => {
                    send_rest(upload)?;
                    return Ok(Some(0));
                }
                Err(StreamError::LastOperationFailed(error)) => return Err(io::Error::other(error.to_debug_string())),
            }
        }
    }
}

/// The answer is over, and the service may still read.
fn send_rest(mut upload: Upload) -> io::Result<()> {
    while let Step::Waits(waits) = upload.advance()? {
        waits.stream.subscribe().block();
        upload = waits;
    }
    Ok(())
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(upload) = self.upload.take()
            && let Some(length) = self.read_while_sending(upload, buffer)?
        {
            return Ok(length);
        }
        Read::read(&mut self.stream, buffer)
    }
}
