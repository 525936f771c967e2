//! The secrets that services read through their `config`: read, kept, and put in their place.
//!
//! Only what a service's `config` names is read. All of it must be readable before a configuration is put in force, so
//! that no service starts with half of what it needs; later, a secret that can no longer be read keeps the text it had,
//! and the log says so once. Files are read again whenever the configuration's are looked at (every three seconds and
//! at each notification), which is how certificates are followed too; variables of the environment do not change.
//!
//! A secret for a guest is text of at most [`MAX_BYTES`]. The text is in the values of the services that name it and
//! nowhere else: not in the configuration, whose prints and fingerprint know the reference only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::capability::{SHORTEST_REDACTED, Values};
use crate::config::{Config, ConfigValue, SecretRef, Service, VersionSettings};

/// Largest secret of a service, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// What was read, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretTexts(BTreeMap<String, Known>);

#[derive(Clone, PartialEq, Eq)]
struct Known {
    source: SecretRef,
    text: Arc<str>,
}

/// The secrets in force.
#[derive(Default)]
pub(super) struct Secrets {
    current: ArcSwap<SecretTexts>,
    /// What was said in the log already, by name.
    said: Mutex<BTreeMap<String, String>>,
}

impl Secrets {
    /// Reads what `config` needs. Blocks for as long as the file system does, and changes nothing.
    ///
    /// # Errors
    /// Every secret that cannot be read and has no text from before, with what is wrong and never what was read.
    pub(super) fn read(&self, config: &Config) -> Result<SecretTexts, Vec<String>> {
        let before = self.current.load();
        let (mut texts, mut wrong) = (BTreeMap::new(), Vec::new());
        let wanted: BTreeSet<&str> = config.services.values().flat_map(Service::secrets).collect();
        // A name without a place was refused with the configuration.
        let wanted = wanted.into_iter().filter_map(|name| Some((name, config.gateway.secrets.get(name)?)));
        for (name, source) in wanted {
            match (text(source), before.0.get(name)) {
                (Ok(text), _) => {
                    self.say_if_short(name, &text);
                    texts.insert(name.to_owned(), Known { source: source.clone(), text });
                }
                (Err(error), Some(known)) if known.source == *source => {
                    self.say(name, &error, "a secret cannot be read, its text from before stays in force");
                    texts.insert(name.to_owned(), known.clone());
                }
                (Err(error), _) => wrong.push(format!("secrets.{name}: {error}")),
            }
        }
        if wrong.is_empty() { Ok(SecretTexts(texts)) } else { Err(wrong) }
    }

    /// Puts them in force; whether that changes anything.
    pub(super) fn set(&self, texts: SecretTexts) -> bool {
        let changed = **self.current.load() != texts;
        if changed {
            self.current.store(Arc::new(texts));
        }
        changed
    }

    /// What a service reads.
    pub(super) fn values(&self, service: &Service) -> Values {
        let texts = self.current.load();
        let fill = |config: &BTreeMap<String, ConfigValue>| {
            let value = |value: &ConfigValue| match value {
                ConfigValue::Text(text) => Some(text.clone()),
                ConfigValue::Secret(name) => texts.0.get(name).map(|known| known.text.to_string()),
            };
            config.iter().filter_map(|(key, of_it)| Some((key.clone(), value(of_it)?))).collect()
        };
        let of_version = |(label, version): (&String, &VersionSettings)| (label.clone(), fill(&version.config));
        let secrets = service.secrets().into_iter().filter_map(|name| texts.0.get(name));
        Values {
            all: fill(&service.config),
            versions: service.versions.iter().map(of_version).collect(),
            secrets: secrets.map(|known| known.text.to_string()).collect(),
        }
    }

    fn say_if_short(&self, name: &str, text: &str) {
        let few = format!("it has fewer than {SHORTEST_REDACTED} bytes");
        if text.trim().len() < SHORTEST_REDACTED {
            self.say(name, &few, "a secret is too short to be kept out of the logs of services that print it");
        } else {
            self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }

    fn say(&self, name: &str, what: &str, message: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(name).is_none_or(|before| before != what) {
            said.insert(name.to_owned(), what.to_owned());
            tracing::warn!(secret = name, what, "{message}");
        }
    }
}

/// Reads one.
fn text(source: &SecretRef) -> Result<Arc<str>, String> {
    let secret = source.read()?;
    if secret.expose().len() > MAX_BYTES {
        return Err(format!("{source} is larger than {} KiB", MAX_BYTES >> 10));
    }
    let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("{source} is not valid UTF-8"))?;
    Ok(text.into())
}

impl std::fmt::Debug for SecretTexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretTexts").field(&self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(secrets: &[(&str, SecretRef)]) -> Config {
        let mut config = Config::default();
        config.gateway.secrets = secrets.iter().map(|(name, at)| ((*name).to_owned(), at.clone())).collect();
        let values = secrets.iter().map(|(name, _)| (format!("key-{name}"), ConfigValue::Secret((*name).to_owned())));
        let mut service = Service { config: values.collect(), ..Service::default() };
        service.config.insert("plain".to_owned(), "text".into());
        config.services.insert("orders".to_owned(), service);
        config
    }

    fn file(dir: &tempfile::TempDir, text: impl AsRef<[u8]>) -> SecretRef {
        std::fs::write(dir.path().join("secret"), text).unwrap();
        SecretRef::File(dir.path().join("secret"))
    }

    fn value(secrets: &Secrets, config: &Config) -> Option<String> {
        secrets.values(&config.services["orders"]).all.get("key-a").cloned()
    }

    #[test]
    fn a_secret_is_the_value_of_the_keys_that_name_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&[("a", file(&dir, "s3cret-one\n"))]);
        let secrets = Secrets::default();
        assert!(secrets.set(secrets.read(&config).unwrap()));
        assert!(!secrets.set(secrets.read(&config).unwrap()), "nothing has changed");
        let values = secrets.values(&config.services["orders"]);
        assert_eq!((values.all["key-a"].as_str(), values.all["plain"].as_str()), ("s3cret-one", "text"));
        assert_eq!(values.secrets, ["s3cret-one"]);
        assert!(!format!("{values:?}{:?}", secrets.read(&config)).contains("s3cret"));
    }

    #[test]
    fn what_can_no_longer_be_read_keeps_its_text_and_a_new_one_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&[("a", file(&dir, "s3cret-one"))]);
        let secrets = Secrets::default();
        secrets.set(secrets.read(&config).unwrap());
        for (written, expected) in [
            (Some(b"s3cret-two".to_vec()), "s3cret-two"),
            (None, "s3cret-two"),
            (Some(vec![0xff; 20]), "s3cret-two"),
            (Some(vec![b'x'; MAX_BYTES + 1]), "s3cret-two"),
            (Some(Vec::new()), "s3cret-two"),
            (Some(b"s3cret-six".to_vec()), "s3cret-six"),
        ] {
            match written {
                Some(bytes) => drop(file(&dir, bytes)),
                None => std::fs::remove_file(dir.path().join("secret")).unwrap(),
            }
            secrets.set(secrets.read(&config).unwrap());
            assert_eq!(value(&secrets, &config).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_was_never_read_is_an_error_that_names_it_and_so_is_the_same_name_at_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::default();
        let gone = SecretRef::File(dir.path().join("gone"));
        let unset = SecretRef::Env("WHARF_TEST_NO_SUCH_VARIABLE".to_owned());
        let wrong = secrets.read(&config(&[("a", gone.clone()), ("b", unset)])).unwrap_err();
        assert!(wrong[0].starts_with("secrets.a: cannot read"), "{wrong:?}");
        assert_eq!(wrong[1], "secrets.b: the environment variable WHARF_TEST_NO_SUCH_VARIABLE is not set");

        let good = config(&[("a", file(&dir, "s3cret-one"))]);
        secrets.set(secrets.read(&good).unwrap());
        assert!(secrets.read(&config(&[("a", gone)])).is_err(), "the text of another file is not that of this one");
        assert_eq!(value(&secrets, &good).as_deref(), Some("s3cret-one"));
    }

    #[test]
    fn secrets_that_nobody_names_are_not_read() {
        let mut config = config(&[]);
        config.gateway.secrets.insert("other".to_owned(), SecretRef::File("/no/such/file".into()));
        assert_eq!(Secrets::default().read(&config).unwrap(), SecretTexts::default());
    }

    #[test]
    fn a_version_has_its_own_values() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&[("a", file(&dir, "s3cret-one"))]);
        let orders = config.services.get_mut("orders").unwrap();
        let own = VersionSettings { config: std::mem::take(&mut orders.config) };
        orders.versions.insert("2".to_owned(), own);
        let secrets = Secrets::default();
        secrets.set(secrets.read(&config).unwrap());
        let values = secrets.values(&config.services["orders"]);
        assert!(values.all.is_empty());
        assert_eq!(values.versions["2"]["key-a"], "s3cret-one");
        assert_eq!(values.secrets, ["s3cret-one"], "no version's log shows it");
    }
}
