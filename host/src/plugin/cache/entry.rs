//! Names and files of cache entries: how they are written, and what makes one ours.

use std::fmt::{self, Write as _};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// `<key>.<code>.cwasm`, both 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryName {
    pub(super) key: String,
    pub(super) code: String,
}

impl EntryName {
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let (key, code) = file_name.strip_suffix(".cwasm")?.split_once('.')?;
        let digits = |text: &str| text.len() == 64 && unhex(text).is_some();
        (digits(key) && digits(code)).then(|| Self { key: key.into(), code: code.into() })
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.cwasm", self.key, self.code)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Lower-case hex digits to bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// What is known about `file` if it is a regular file of ours that nobody else may write to.
pub(super) fn ours(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    let fault = if !metadata.is_file() {
        "it is not a regular file"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & super::OTHERS_WRITE != 0 {
        "others may write to it"
    } else {
        return Ok(metadata);
    };
    Err(io::Error::other(fault))
}

/// Reads a secret that nobody else can read or write.
pub(super) fn read_secret(file: &File) -> io::Result<[u8; super::SECRET_LEN]> {
    if ours(file)?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read it"));
    }
    let mut bytes = Vec::new();
    file.take(u64::try_from(super::SECRET_LEN).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| io::Error::other("it does not have its length"))
}
