//! Sticky sessions: what a cookie says, and whom it means.
//!
//! A cookie holds a hash of the instance's id, so it tells clients neither names nor addresses (somebody who guesses an
//! id can check the guess), is the same from every gateway and after every restart, and a made-up one means nobody. It is
//! no credential: whoever changes it only chooses another instance of the same service, which chance may do, too. What
//! the cookie is called, how long it lives and when it is sent is not decided here.

use std::fmt;

use sha2::{Digest, Sha256};

/// Another value ends every session of everybody.
const PURPOSE: &[u8] = b"wharf sticky session 1\0";

/// An instance as clients know it: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// The token of an instance.
    pub fn of(id: &str) -> Self {
        let hash = Sha256::new().chain_update(PURPOSE).chain_update(id).finalize();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    /// What a client sent; nothing if it cannot be from us.
    pub fn read(cookie: &[u8]) -> Option<Self> {
        let digits: &[u8; 32] = cookie.try_into().ok()?;
        let mut token = [0; 16];
        for (byte, digits) in token.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = digits.try_into().ok()?;
            *byte = hex(high)? << 4 | hex(low)?;
        }
        Some(Self(token))
    }
}

/// Lower case only, as it was sent.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_is_the_same_for_ever() {
        let token = Token::of("http://10.0.0.7:9001");
        assert_eq!(Token::read(token.to_string().as_bytes()), Some(token));
        assert_eq!(token.to_string(), "b96a08e527103c1fd689aa42104f9b22");
        assert_ne!(token, Token::of("http://10.0.0.7:9002"));
    }

    #[test]
    fn what_is_no_token_is_nobody() {
        let token = Token::of("a").to_string();
        let upper = token.to_uppercase();
        assert_ne!(upper, token);
        for wrong in
            ["", "a", &token[1..], &format!("{token}0"), &upper, &token.replace(|_| true, "g"), &"é".repeat(16)]
        {
            assert_eq!(Token::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
