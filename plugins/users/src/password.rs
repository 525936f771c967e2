//! Passwords are kept as argon2id hashes with the least parameters that OWASP recommends: 19 MiB of memory, two passes,
//! one lane. What that costs a request stands in `gateway-config/services/users.yaml`, which has to allow it.

use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use wharf_sdk::Error;

/// KiB.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(Error::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash that is kept: parameters, salt and all, as text.
pub(crate) fn hash(password: &str) -> Result<String, Error> {
    let hash = argon2()?.hash_password(password.as_bytes()).map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// Whether this is the password. Without a hash it is not, after the same work: how long the answer takes does not tell
/// who is a user.
pub(crate) fn fits(password: &str, kept: Option<&str>) -> Result<bool, Error> {
    let Some(kept) = kept else {
        hash(password)?;
        return Ok(false);
    };
    match argon2()?.verify_password(password.as_bytes(), kept) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::internal(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, hash("correct horse").unwrap(), "each has a salt of its own");
        assert!(fits("correct horse", Some(&kept)).unwrap());
        assert!(!fits("correct horsf", Some(&kept)).unwrap());
        assert!(!fits("correct horse", None).unwrap());
        assert_eq!(fits("correct horse", Some("no hash")).unwrap_err().status(), 500);
    }
}
