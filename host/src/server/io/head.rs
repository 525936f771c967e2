//! Follows the requests of an HTTP/1 connection, and sees in their heads what hyper does not show.
//!
//! hyper merges equal `Content-Length` lines, drops `Content-Length` beside `Transfer-Encoding`, takes any list of
//! codings that ends in `chunked`, cuts fragments off targets and takes bare line feeds. Each of these is how one
//! request is made to look like two to somebody else (request smuggling), so RFC 9112 §6.3 and §11.2 let a server
//! refuse it, and this one does. The heads are found by the parser that hyper uses, with hyper's settings, so both see
//! the same ones; the answer to a flaw is the last on its connection, and whatever follows it is not looked at. If
//! hyper ever sees a request that this did not, that is a flaw too.
//!
//! A head that comes in one read is looked at where it lies. Only pieces of a head are kept, `headBytes` at most.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use super::chunked::{Chunked, End};

/// As many headers are parsed without an allocation; the default bound, and hyper's.
const HEADERS: usize = 100;

/// What is wrong with a request although hyper took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadFlaw {
    /// It is well-formed, but we do not do that (501); otherwise it is a bad request (400).
    pub(crate) unsupported: bool,
    /// What the client may be told.
    pub(crate) detail: &'static str,
}

/// See the module header.
#[derive(Debug)]
pub(super) struct Inspector {
    state: State,
    /// Pieces of a head that is not complete.
    partial: Vec<u8>,
    heads: u64,
    max_headers: usize,
    head_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// Nothing more will be served on this connection.
    Stopped,
}

/// Where the bytes so far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between two requests, or before the first.
    Between,
    /// In a head.
    Head,
    /// In a body.
    Body,
    /// Nobody knows: hyper will refuse what came, or a flaw was found.
    Stopped,
}

impl HeadFlaw {
    pub(super) const fn bad(detail: &'static str) -> Self {
        Self { unsupported: false, detail }
    }
}

impl Inspector {
    /// Takes heads of so many lines and bytes, as hyper is told to.
    pub(super) fn new(max_headers: usize, head_bytes: usize) -> Self {
        Self { state: State::Head, partial: Vec::new(), heads: 0, max_headers, head_bytes }
    }

    /// How many heads were complete so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    pub(super) fn place(&self) -> Place {
        match &self.state {
            State::Head if self.partial.is_empty() => Place::Between,
            State::Head => Place::Head,
            State::Length(_) | State::Chunked(_) => Place::Body,
            State::Stopped => Place::Stopped,
        }
    }

    /// Looks at the next bytes. A flaw is one of the head that was completed last.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<HeadFlaw> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Stopped => return None,
                State::Length(left) => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    bytes = bytes.get(taken..).unwrap_or_default();
                }
                State::Chunked(body) => match body.feed(bytes) {
                    End::Open => return None,
                    End::At(end) => {
                        self.state = State::Head;
                        bytes = bytes.get(end..).unwrap_or_default();
                    }
                    End::Broken => self.state = State::Stopped,
                },
                State::Head => {
                    let (length, read) = self.head(bytes)?;
                    bytes = bytes.get(length..).unwrap_or_default();
                    self.heads += 1;
                    match read {
                        Ok(state) => self.state = state,
                        Err(flaw) => {
                            self.state = State::Stopped;
                            return Some(flaw);
                        }
                    }
                }
            }
        }
        None
    }

    /// How many of these bytes are the rest of a head, and what follows it. `None` when the head is not complete, or is
    /// one that hyper refuses.
    fn head(&mut self, bytes: &[u8]) -> Option<(usize, Result<State, HeadFlaw>)> {
        let before = self.partial.len();
        if before == 0 {
            if may_end(bytes)
                && let Some(head) = self.parse(bytes)
            {
                return Some(head);
            }
            if self.state == State::Head {
                self.partial.extend_from_slice(bytes);
            }
        } else {
            self.partial.extend_from_slice(bytes);
            let mut partial = std::mem::take(&mut self.partial);
            // The end may lie across the pieces.
            if may_end(partial.get(before.saturating_sub(3)..).unwrap_or_default())
                && let Some((length, read)) = self.parse(&partial)
            {
                partial.clear();
                self.partial = partial;
                return Some((length.saturating_sub(before), read));
            }
            self.partial = partial;
        }
        if self.partial.len() > self.head_bytes {
            self.state = State::Stopped;
        }
        if self.state == State::Stopped {
            self.partial = Vec::new();
        }
        None
    }

    fn parse(&mut self, bytes: &[u8]) -> Option<(usize, Result<State, HeadFlaw>)> {
        let mut few = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS];
        let mut many = Vec::new();
        let headers = match few.get_mut(..self.max_headers) {
            Some(headers) => headers,
            None => {
                many.resize_with(self.max_headers, MaybeUninit::uninit);
                many.as_mut_slice()
            }
        };
        let mut request = Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, headers) {
            Ok(Status::Complete(length)) => {
                let head = bytes.get(..length).unwrap_or_default();
                Some((length, judge(&request, head)))
            }
            Ok(Status::Partial) => None,
            Err(_refused) => {
                self.state = State::Stopped;
                None
            }
        }
    }
}

/// Whether there is an empty line.
fn may_end(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return true;
        }
    }
    false
}

/// What follows a head, unless that is in doubt or the head has another flaw.
fn judge(request: &Request<'_, '_>, head: &[u8]) -> Result<State, HeadFlaw> {
    let mut length = None;
    let mut codings = Codings::default();
    let mut is_upgrade = false;
    for header in request.headers.iter() {
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let value = header.value.trim_ascii();
                if length.replace(decimal(value).ok_or(BAD_LENGTH)?).is_some() {
                    return Err(HeadFlaw::bad("content-length is there more than once"));
                }
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => codings.add(header.value),
            // The offer of HTTP/2, which Java's client makes with every request, is for us to ignore.
            7 if header.name.eq_ignore_ascii_case("upgrade") => {
                is_upgrade |= !header.value.trim_ascii().eq_ignore_ascii_case(b"h2c");
            }
            _ => {}
        }
    }
    let is_chunked = codings.is_chunked(request.version == Some(1), length.is_some())?;
    if is_upgrade && (is_chunked || length > Some(0)) {
        return Err(HeadFlaw::bad("a request to change the protocol cannot have a body"));
    }
    let target = request.path.unwrap_or_default();
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HeadFlaw::bad("the target has a character that must be percent-encoded"));
    }
    if target.contains('#') {
        return Err(HeadFlaw::bad("the target has a fragment"));
    }
    let mut last = 0;
    for &byte in head {
        if byte == b'\n' && last != b'\r' {
            return Err(HeadFlaw::bad("a line ends without a carriage return"));
        }
        last = byte;
    }
    Ok(match length {
        _ if is_chunked => State::Chunked(Chunked::new()),
        Some(length) if length > 0 => State::Length(length),
        _ => State::Head,
    })
}

const BAD_LENGTH: HeadFlaw = HeadFlaw::bad("content-length is no number");

fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What the `Transfer-Encoding` lines of a head name, as one list.
#[derive(Default)]
struct Codings {
    lines: u32,
    chunked: u32,
    others: u32,
    ends_chunked: bool,
}

impl Codings {
    fn add(&mut self, value: &[u8]) {
        self.lines += 1;
        for coding in value.split(|&byte| byte == b',') {
            self.ends_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if self.ends_chunked {
                self.chunked += 1;
            } else {
                self.others += 1;
            }
        }
    }

    fn is_chunked(&self, is_http_11: bool, has_length: bool) -> Result<bool, HeadFlaw> {
        if self.lines == 0 {
            return Ok(false);
        }
        if !is_http_11 {
            return Err(HeadFlaw::bad("HTTP/1.0 has no transfer-encoding"));
        }
        if has_length {
            return Err(HeadFlaw::bad("content-length and transfer-encoding exclude each other"));
        }
        if !self.ends_chunked || self.chunked > 1 {
            return Err(HeadFlaw::bad("transfer-encoding must be chunked, once"));
        }
        if self.others > 0 {
            let detail = "no transfer-encoding but chunked is supported";
            return Err(HeadFlaw { unsupported: true, detail });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
