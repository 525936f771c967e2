//! The folders of one host: the repository's own configuration under an overlay that says what is different here, and
//! the components of the shop as copies, so that they can be replaced while it runs.
//!
//! Two services of the shop know the address of the gateway: payments asks the bank there, and the gateway its own keys
//! of tokens. So ports are chosen before the start, and stay over all starts.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::Trouble;

/// The services of the shop, those that others call first.
pub const SERVICES: [&str; 10] = [
    "users",
    "catalog",
    "inventory",
    "pricing",
    "bank",
    "payments",
    "shipping",
    "notifications",
    "orders",
    "analytics",
];

/// The name of the environment whose file is the overlay.
pub const ENVIRONMENT: &str = "demo";

/// Where ports are looked for: below those that systems give to connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// See the module header.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: PathBuf,
    /// The port of the public listener.
    pub port: u16,
    /// The port of the operators' listener.
    pub admin_port: u16,
    overlay: Value,
}

impl Folder {
    /// Lays out `dir` with what is in the repository `root`. Ports are those of the defaults if they are free.
    ///
    /// # Errors
    /// When something is missing, or cannot be written.
    pub fn lay_out(dir: &Path, root: &Path, defaults: bool) -> Result<Self, Trouble> {
        let services = dir.join("gateway-config/services");
        for folder in [services.as_path(), &dir.join("gateway-config/env"), &dir.join("plugins")] {
            fs::create_dir_all(folder).map_err(Trouble::io(folder.display()))?;
        }
        copy(&root.join("gateway-config/gateway.yaml"), &dir.join("gateway-config/gateway.yaml"))?;
        for name in SERVICES {
            let file = format!("{name}.yaml");
            copy(&root.join("gateway-config/services").join(&file), &services.join(&file))?;
            let file = format!("{name}.wasm");
            copy(&root.join("plugins").join(&file), &dir.join("plugins").join(&file))?;
        }
        let preferred = |port: u16| Some(port).filter(|port| defaults && is_free(*port));
        let port = preferred(8080).map_or_else(|| free_port(&[]), Ok)?;
        let admin_port = preferred(9090).map_or_else(|| free_port(&[port]), Ok)?;
        let gateway = format!("http://127.0.0.1:{port}");
        let overlay = json!({
            "listen": format!("127.0.0.1:{port}"),
            "admin": { "listen": format!("127.0.0.1:{admin_port}") },
            "plugins": { "dir": dir.join("plugins") },
            "state": { "path": dir.join("state") },
            "auth": { "providers": [
                { "name": "shop", "jwks": { "url": format!("{gateway}/api/users/.well-known/jwks.json") } },
            ] },
            "services": { "payments": {
                "config": { "provider": format!("{gateway}/bank") },
                "grants": { "egress": [{ "url": gateway, "allowPrivate": true }] },
            } },
        });
        let folder = Self { dir: dir.to_owned(), port, admin_port, overlay };
        folder.write()?;
        Ok(folder)
    }

    /// The folder of everything.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the log of the host is.
    pub fn log(&self) -> PathBuf {
        self.dir.join("wharf.log")
    }

    /// Sets a value in the overlay, by the keys on the way to it; null takes it away. It counts as soon as the host has
    /// noticed, within a second.
    ///
    /// # Errors
    /// When the overlay cannot be written.
    pub fn set(&mut self, path: &[&str], value: Value) -> Result<(), Trouble> {
        let Some((last, way)) = path.split_last() else { return Ok(()) };
        let mut at = &mut self.overlay;
        for key in way {
            at = members(at).entry((*key).to_owned()).or_insert(Value::Null);
        }
        if value.is_null() {
            members(at).remove(*last);
        } else {
            members(at).insert((*last).to_owned(), value);
        }
        self.write()
    }

    /// A component of the shop, as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn component(&self, service: &str) -> Result<Vec<u8>, Trouble> {
        let path = self.dir.join("plugins").join(format!("{service}.wasm"));
        fs::read(&path).map_err(Trouble::io(path.display()))
    }

    /// Replaces a component in one step, as `mv` does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install(&self, service: &str, wasm: &[u8]) -> Result<(), Trouble> {
        put(&self.dir.join("plugins").join(format!("{service}.wasm")), wasm)
    }

    /// Takes a component away.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove(&self, service: &str) -> Result<(), Trouble> {
        let path = self.dir.join("plugins").join(format!("{service}.wasm"));
        fs::remove_file(&path).map_err(Trouble::io(path.display()))
    }

    /// JSON is YAML, too.
    fn write(&self) -> Result<(), Trouble> {
        let path = self.dir.join("gateway-config/env").join(format!("{ENVIRONMENT}.yaml"));
        put(&path, format!("{:#}\n", self.overlay).as_bytes())
    }
}

/// The same component with a custom section more: another version that does the same.
pub fn marked(wasm: &[u8], mark: &str) -> Vec<u8> {
    const NAME: &str = "wharf-demo";
    let mark: String = mark.chars().filter(char::is_ascii).take(100).collect();
    // A section is its id (0), its length, the length of its name, its name, its text; lengths under 128 are one byte.
    let length = u8::try_from(1 + NAME.len() + mark.len()).unwrap_or(0);
    let name_length = u8::try_from(NAME.len()).unwrap_or(0);
    [wasm, &[0, length, name_length], NAME.as_bytes(), mark.as_bytes()].concat()
}

fn members(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        _ => unreachable!("it was made one"),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Trouble> {
    let missing = |error| Trouble::io(format!("{} (`just build-plugins` makes components)", from.display()))(error);
    fs::copy(from, to).map(drop).map_err(missing)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.new"));
    let written = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    written.map_err(Trouble::io(path.display()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn free_port(but: &[u16]) -> Result<u16, Trouble> {
    let some = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(1000);
    let free = some.filter(|port| !but.contains(port)).find(|port| is_free(*port));
    free.ok_or_else(|| Trouble::Host("no port is free".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_mark_makes_a_section_and_another_mark_another_file() {
        let empty = b"\0asm\x0d\0\x01\0";
        let one = marked(empty, "1");
        assert_eq!(&one[..empty.len()], empty);
        assert_eq!(&one[empty.len()..], b"\0\x0c\x0awharf-demo1");
        assert_ne!(one, marked(empty, "2"));
        assert_eq!(usize::from(marked(empty, &"x".repeat(500))[9]), 111);
    }

    #[test]
    fn what_is_set_in_the_overlay_stands_in_its_file_until_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("gateway-config/env")).unwrap();
        let mut folder = Folder { dir: dir.path().to_owned(), port: 1, admin_port: 2, overlay: json!({ "a": 1 }) };
        let read = || fs::read_to_string(dir.path().join("gateway-config/env/demo.yaml")).unwrap();
        folder.set(&["services", "bank", "filters"], json!([{ "fault": {} }])).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&read()).unwrap(),
            json!({ "a": 1, "services": { "bank": { "filters": [{ "fault": {} }] } } })
        );
        folder.set(&["services", "bank", "filters"], Value::Null).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&read()).unwrap(), json!({ "a": 1, "services": { "bank": {} } }));
    }
}
