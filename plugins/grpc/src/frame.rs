//! Messages on the wire: a byte that says whether it is compressed, four of length, and the message.

use std::io::{self, Read, Write};

use prost::Message;

use crate::status::{Code, Status};

/// The longest message that is read.
pub(crate) const LARGEST: usize = 64 << 10;

/// The next message; nothing at the end of the stream.
///
/// # Errors
/// When it breaks off, is too long, compressed, or not what it is to be.
pub(crate) fn read<M: Message + Default>(from: &mut dyn Read) -> Result<Option<M>, Status> {
    let mut head = [0_u8; 5];
    let broken = |_| Status::new(Code::Internal, "the request breaks off");
    let mut rest = head.as_mut_slice();
    // The end may only be where a message could begin.
    let first = loop {
        match from.read(rest) {
            Ok(length) => break length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    };
    if first == 0 {
        return Ok(None);
    }
    rest = rest.get_mut(first..).unwrap_or_default();
    from.read_exact(rest).map_err(broken)?;
    let [flag, length @ ..] = head;
    match flag {
        0 => {}
        1 => return Err(Status::new(Code::Internal, "a message is compressed, and `grpc-encoding` says that none is")),
        _ => return Err(Status::new(Code::Internal, "this is no message of gRPC")),
    }
    let length = u32::from_be_bytes(length);
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= LARGEST) else {
        let message = format!("a message has {length} bytes, at most {LARGEST} are read");
        return Err(Status::new(Code::ResourceExhausted, message));
    };
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(broken)?;
    M::decode(bytes.as_slice()).map(Some).map_err(|_| {
        // What is wrong inside says nothing to who sees only a status.
        Status::new(Code::InvalidArgument, "the message is not of the type of this method")
    })
}

/// Writes a message and sends it.
pub(crate) fn write(to: &mut dyn Write, message: &impl Message) -> io::Result<()> {
    let length = u32::try_from(message.encoded_len()).map_err(|_| io::Error::other("the message is too long"))?;
    let mut bytes = Vec::with_capacity(message.encoded_len().saturating_add(5));
    bytes.push(0);
    bytes.extend_from_slice(&length.to_be_bytes());
    message.encode(&mut bytes).map_err(io::Error::other)?;
    to.write_all(&bytes)?;
    to.flush()
}
