//! A body of which some was read: that first, then the rest.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::check::Room;

/// See the module header. What was read counts as kept until it is sent on.
#[derive(Debug)]
pub(in crate::gateway) struct Ahead<B> {
    frames: VecDeque<Frame<Bytes>>,
    rest: B,
    room: Option<Room>,
}

/// How far a body was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// To its end; these are its bytes.
    Whole(Bytes),
    /// There is more of it than is kept.
    TooLarge,
    /// Too much is kept of others.
    NoRoom,
}

impl<B> Ahead<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Reads a body, up to so many bytes.
    ///
    /// # Errors
    /// When it breaks off.
    pub(super) async fn read(mut rest: B, limit: usize) -> Result<(Self, Read), B::Error> {
        let mut frames = VecDeque::new();
        let mut room = Room::default();
        let mut length = 0;
        let mut read = None;
        if rest.size_hint().lower() > limit as u64 {
            read = Some(Read::TooLarge);
        }
        while read.is_none() {
            let Some(frame) = rest.frame().await else { break };
            let frame = frame?;
            let more = frame.data_ref().map_or(0, Bytes::len);
            length += more;
            if length > limit {
                read = Some(Read::TooLarge);
            } else if room.grow(more).is_none() {
                read = Some(Read::NoRoom);
            }
            // One byte in a frame of its own is a small thing that holds a large one.
            let frame = match frame.into_data() {
                Ok(data) if data.len() < 64 => Frame::data(Bytes::copy_from_slice(&data)),
                Ok(data) => Frame::data(data),
                Err(frame) => frame,
            };
            frames.push_back(frame);
        }
        let read = read.unwrap_or_else(|| Read::Whole(bytes_of(&frames, length)));
        Ok((Self { frames, rest, room: Some(room) }, read))
    }

    /// What comes after what was read.
    pub(in crate::gateway) fn rest(&self) -> &B {
        &self.rest
    }
}

fn bytes_of(frames: &VecDeque<Frame<Bytes>>, length: usize) -> Bytes {
    let mut data = frames.iter().filter_map(Frame::data_ref);
    match (data.next(), data.next()) {
        (None, _) => Bytes::new(),
        (Some(one), None) => one.clone(),
        _ => {
            let mut all = BytesMut::with_capacity(length);
            frames.iter().filter_map(Frame::data_ref).for_each(|data| all.extend_from_slice(data));
            all.freeze()
        }
    }
}

impl<B> Body for Ahead<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.room = None;
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: usize = self.frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let (rest, ahead) = (self.rest.size_hint(), ahead as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;

    fn body(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let frames = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))));
        let trailers = std::iter::once(Ok(Frame::trailers(HeaderMap::new())));
        StreamBody::new(futures_util::stream::iter(frames.chain(trailers)))
    }

    #[tokio::test]
    async fn what_was_read_and_the_rest_are_the_same_body() {
        for (limit, read) in [(6, Read::Whole("abcdef".into())), (5, Read::TooLarge), (2, Read::TooLarge)] {
            let (ahead, came) = Ahead::read(body(&["abc", "def"]), limit).await.unwrap();
            assert_eq!(came, read);
            assert!(ahead.size_hint().lower() >= 3);
            let whole = ahead.collect().await.unwrap();
            assert!(whole.trailers().is_some());
            assert_eq!(whole.to_bytes(), "abcdef");
        }
    }
}
