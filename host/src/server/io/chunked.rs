//! Where a chunked body ends (RFC 9112 §7.1).
//!
//! Agrees with hyper's decoder, which reads the same bytes afterwards; what that one refuses is [`End::Broken`] here.
//! Its bounds on extensions and trailers are left to it: it ends the connection when they are passed.

/// A chunked body that is being passed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Of the chunk: as far as it was read, then what is left of it.
    size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    Start,
    Size,
    /// White space after a size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer line, which is empty at the end.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

/// How far some bytes go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All are of the body, which goes on.
    Open,
    /// So many are of the body, which ended.
    At(usize),
    /// This is no chunked body.
    Broken,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Start, size: 0 }
    }

    /// Passes bytes by.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> End {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.state == State::Data {
                let left = bytes.len() - at;
                let taken = usize::try_from(self.size).map_or(left, |size| size.min(left));
                self.size -= taken as u64;
                at += taken;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            at += 1;
            match self.step(byte) {
                Some(Some(state)) => self.state = state,
                Some(None) => return End::At(at),
                None => return End::Broken,
            }
        }
        End::Open
    }

    /// The state after a byte; `Some(None)` at the end.
    fn step(&mut self, byte: u8) -> Option<Option<State>> {
        use State::{Data, DataCr, DataLf, EndLf, Extension, Line, Size, SizeLf, Space, Start, Trailer, TrailerLf};
        let digit = char::from(byte).to_digit(16);
        Some(Some(match (self.state, byte) {
            (Start | Size, _) if digit.is_some() => {
                self.size = self.size.checked_mul(16)?.checked_add(digit?.into())?;
                Size
            }
            (Size | Space, b'\t' | b' ') => Space,
            (Size | Space, b';') => Extension,
            (Size | Space | Extension, b'\r') => SizeLf,
            (Extension, b'\n') => return None,
            (Extension, _) => Extension,
            (SizeLf, b'\n') if self.size == 0 => Line,
            (SizeLf, b'\n') => Data,
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Start,
            (Line, b'\r') => EndLf,
            (Trailer, b'\r') => TrailerLf,
            (Line | Trailer, _) => Trailer,
            (TrailerLf, b'\n') => Line,
            (EndLf, b'\n') => return Some(None),
            _ => return None,
        }))
    }
}
