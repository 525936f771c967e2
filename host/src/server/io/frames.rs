//! The frames of one direction of an HTTP/2 connection (RFC 9113 §4.1), as they pass in pieces of any size.
//!
//! Only their nine-byte headers are read. Whether a frame is allowed where it stands is h2's business.

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Settings,
    Continuation,
    /// PING, PRIORITY, WINDOW_UPDATE, GOAWAY and what nobody knows.
    Other,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Bytes of payload.
    pub(super) length: u32,
}

impl Frame {
    /// Whether its sender has nothing more to say on this stream.
    pub(super) fn ends_stream(&self) -> bool {
        self.kind == Kind::Reset || (matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 0x1 != 0)
    }

    /// Whether a block of headers goes on after it.
    pub(super) fn headers_go_on(&self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::Continuation) && self.flags & 0x4 == 0
    }

    fn parse(header: [u8; 9]) -> Self {
        let [a, b, c, kind, flags, id @ ..] = header;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::Reset,
            4 => Kind::Settings,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let stream = u32::from_be_bytes(id) & (u32::MAX >> 1);
        Self { kind, flags, stream, length: u32::from_be_bytes([0, a, b, c]) }
    }
}

/// A part of a frame that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Its header.
    Header(Frame),
    /// All of it.
    Whole(Frame),
}

/// See the module header.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; 9],
    /// Of the header.
    have: usize,
    frame: Option<Frame>,
    /// Of the payload, or of what stands before the first frame.
    left: usize,
}

impl Frames {
    /// Frames that come after so many bytes of something else.
    pub(super) fn after(bytes: usize) -> Self {
        Self { header: [0; 9], have: 0, frame: None, left: bytes }
    }

    /// Whether the bytes so far end within a frame other than DATA, which may come slowly.
    pub(super) fn is_within_head(&self) -> bool {
        match self.frame {
            Some(frame) => frame.kind != Kind::Data,
            None => self.have > 0,
        }
    }

    /// Passes bytes by.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut passed: impl FnMut(Passed)) {
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.left > 0 {
                return;
            }
            if let Some(frame) = self.frame.take() {
                passed(Passed::Whole(frame));
            }
            let missing = self.header.get_mut(self.have..).unwrap_or_default();
            let taken = missing.len().min(bytes.len());
            let (these, rest) = bytes.split_at(taken);
            for (to, from) in missing.iter_mut().zip(these) {
                *to = *from;
            }
            self.have += taken;
            bytes = rest;
            if self.have < self.header.len() {
                return;
            }
            let frame = Frame::parse(self.header);
            passed(Passed::Header(frame));
            self.have = 0;
            self.left = frame.length as usize;
            self.frame = Some(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn passed(pieces: &[&[u8]]) -> (Vec<Passed>, Frames) {
        let mut frames = Frames::after(3);
        let mut all = Vec::new();
        for piece in pieces {
            frames.feed(piece, |passed| all.push(passed));
        }
        (all, frames)
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let bytes = [
            b"abc".to_vec(),
            frame(4, 0, 0, b"123456"),
            frame(1, 0x1, 0x8000_0001, b"head"),
            frame(9, 0x4, 1, b""),
            frame(0, 0x1, 1, &[7; 300]),
            frame(6, 0, 0, &[0; 8]),
        ]
        .concat();
        let (whole, _) = passed(&[&bytes]);
        assert_eq!(whole.len(), 10);
        let Passed::Whole(head) = whole[3] else { panic!("{whole:?}") };
        assert_eq!(head, Frame { kind: Kind::Headers, flags: 1, stream: 1, length: 4 });
        assert!(head.ends_stream() && head.headers_go_on());
        for at in 0..bytes.len() {
            assert_eq!(passed(&[&bytes[..at], &bytes[at..]]).0, whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(passed(&single).0, whole);
    }

    #[test]
    fn a_piece_of_a_frame_is_told_from_a_piece_of_data() {
        let at = |bytes: &[u8]| passed(&[b"abc", bytes]).1.is_within_head();
        assert!(!at(b""));
        assert!(at(&[0, 0]));
        assert!(at(&frame(1, 0, 1, b"head")[..10]));
        assert!(!at(&frame(1, 0, 1, b"head")));
        assert!(!at(&frame(0, 0, 1, b"data")[..10]));
    }
}
