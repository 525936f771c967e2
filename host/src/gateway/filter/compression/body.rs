//! A body that is compressed while it passes.
//!
//! Nothing runs beside it: each poll feeds the encoder what the inner body has. When the inner body has nothing for the
//! moment, what was fed is flushed out, so a slow stream reaches the client as it is written; a fast one is flushed only
//! now and then, which compresses better. Trailers follow the end of the encoded data. When the inner body fails, this
//! one fails the same way, and the encoded data has no end that could be taken for a whole response.
//!
//! Bounded: one poll feeds at most [`FEED`] bytes, so what waits is one frame of the inner body and its compressed form;
//! encoders have windows of 256 KiB or less.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::Level;
use async_compression::brotli::EncoderParams;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncWrite;

use crate::config::{Algorithm, CompressionLevel};

/// Most bytes that one poll feeds, so that a large frame does not hold the executor's thread for long.
const FEED: usize = 64 << 10;
/// Windows of 2^18 bytes: what browsers must have anyway, and little for each response.
const WINDOW_LOG: u32 = 18;

/// Compresses into memory.
#[derive(Debug)]
pub(crate) struct Encoder(Codec);

#[derive(Debug)]
enum Codec {
    Zstd(Box<ZstdEncoder<Vec<u8>>>),
    Br(Box<BrotliEncoder<Vec<u8>>>),
    Gzip(Box<GzipEncoder<Vec<u8>>>),
}

/// A body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompressError<E> {
    /// The body that is compressed failed.
    #[error(transparent)]
    Body(E),
    /// The encoder failed.
    #[error("cannot compress: {0}")]
    Encoder(io::Error),
}

impl Encoder {
    pub(super) fn new(algorithm: Algorithm, level: CompressionLevel) -> Self {
        let pick = |fast, default, best| {
            Level::Precise(match level {
                CompressionLevel::Fast => fast,
                CompressionLevel::Default => default,
                CompressionLevel::Best => best,
            })
        };
        let out = Vec::new();
        Self(match algorithm {
            Algorithm::Zstd => {
                let window = [CParameter::window_log(WINDOW_LOG)];
                Codec::Zstd(ZstdEncoder::with_quality_and_params(out, pick(1, 3, 9), &window).into())
            }
            Algorithm::Br => {
                let params = EncoderParams::default().quality(pick(1, 4, 8)).window_size(WINDOW_LOG as i32);
                Codec::Br(BrotliEncoder::with_params(out, params).into())
            }
            Algorithm::Gzip => Codec::Gzip(GzipEncoder::with_quality(out, pick(1, 6, 9)).into()),
        })
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match &mut self.0 {
            Codec::Zstd(codec) => Pin::new(&mut **codec),
            Codec::Br(codec) => Pin::new(&mut **codec),
            Codec::Gzip(codec) => Pin::new(&mut **codec),
        }
    }

    /// What came out since the last call.
    fn take(&mut self) -> Bytes {
        let out = match &mut self.0 {
            Codec::Zstd(codec) => codec.get_mut(),
            Codec::Br(codec) => codec.get_mut(),
            Codec::Gzip(codec) => codec.get_mut(),
        };
        std::mem::take(out).into()
    }
}

/// A writer into memory is always ready.
fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

pin_project_lite::pin_project! {
    /// A body, compressed or as it is.
    #[derive(Debug)]
    pub(crate) struct Compressed<B> {
        #[pin]
        inner: B,
        encoder: Option<Encoder>,
        state: State,
    }
}

#[derive(Debug)]
struct State {
    /// Not fed yet.
    input: Bytes,
    /// Fed but maybe not flushed.
    dirty: bool,
    /// Bytes fed since something was given out.
    fed: usize,
    trailers: Option<HeaderMap>,
    /// Nothing more comes out of the inner body.
    drained: bool,
    ended: bool,
}

impl<B: Body<Data = Bytes>> Compressed<B> {
    /// Wraps a body; without an encoder it passes as it is.
    pub(crate) fn new(inner: B, encoder: Option<Encoder>) -> Self {
        let input = Bytes::new();
        let state = State { input, dirty: false, fed: 0, trailers: None, drained: false, ended: false };
        Self { inner, encoder, state }
    }

    /// What is compressed.
    pub(crate) fn inner(&self) -> &B {
        &self.inner
    }
}

impl State {
    fn feed(&mut self, encoder: &mut Encoder, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.input.is_empty() && self.fed < FEED {
            let piece = self.input.get(..self.input.len().min(FEED - self.fed)).unwrap_or_default();
            let taken = ready(encoder.writer().poll_write(cx, piece))?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.input.advance(taken);
            self.fed += taken;
            self.dirty = true;
        }
        Ok(())
    }

    fn flush(&mut self, encoder: &mut Encoder, cx: &mut Context<'_>) -> io::Result<Bytes> {
        ready(encoder.writer().poll_flush(cx))?;
        self.dirty = false;
        self.fed = 0;
        Ok(encoder.take())
    }
}

type Next<E> = Poll<Option<Result<Frame<Bytes>, CompressError<E>>>>;

impl<B: Body<Data = Bytes>> Body for Compressed<B> {
    type Data = Bytes;
    type Error = CompressError<B::Error>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Next<B::Error> {
        let mut this = self.project();
        let Some(encoder) = this.encoder else { return this.inner.poll_frame(cx).map_err(CompressError::Body) };
        let state = this.state;
        loop {
            if state.ended {
                return Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if let Err(error) = state.feed(encoder, cx) {
                return fail(state, CompressError::Encoder(error));
            }
            let out = if state.fed >= FEED {
                state.flush(encoder, cx)
            } else if state.drained {
                state.ended = true;
                ready(encoder.writer().poll_shutdown(cx)).map(|()| encoder.take())
            } else {
                match this.inner.as_mut().poll_frame(cx) {
                    Poll::Ready(None) => {
                        state.drained = true;
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return fail(state, CompressError::Body(error)),
                    Poll::Ready(Some(Ok(frame))) => {
                        match frame.into_data() {
                            Ok(data) => state.input = data,
                            Err(frame) => {
                                state.trailers = frame.into_trailers().ok();
                                state.drained = true;
                            }
                        }
                        continue;
                    }
                    Poll::Pending if state.dirty => state.flush(encoder, cx),
                    Poll::Pending => return Poll::Pending,
                }
            };
            match out {
                Err(error) => return fail(state, CompressError::Encoder(error)),
                // A flush that gave nothing: the inner body is asked again, and wakes the task if it has nothing.
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.encoder {
            None => self.inner.is_end_stream(),
            Some(_) => self.state.ended && self.state.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.encoder {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

/// Ends the stream with an error, once.
fn fail<E>(state: &mut State, error: CompressError<E>) -> Next<E> {
    state.ended = true;
    state.trailers = None;
    Poll::Ready(Some(Err(error)))
}
