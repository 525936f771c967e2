//! What every service says of itself: that it works, and what it is.

use serde::Serialize;
use wharf_sdk::{Error, Response, sql};

/// What a service is: the answer of `GET /info`. Made by [`info!`](crate::info).
#[derive(Debug, Serialize)]
pub struct Info {
    /// Its name, that of its package.
    pub name: &'static str,
    /// The version of its package.
    pub version: &'static str,
    /// What it does, in a line.
    pub description: &'static str,
    /// The topics that it publishes.
    pub publishes: &'static [&'static str],
    /// The topics that it hears, as patterns.
    pub handles: &'static [&'static str],
}

impl Info {
    /// # Errors
    /// None: it is a handler of a route.
    pub fn show(&self) -> Result<Response, Error> {
        Ok(Response::json(self))
    }
}

/// What the service that says this is, by its `Cargo.toml`: `shop::info! { publishes: ["a.b"], handles: [] }`.
#[macro_export]
macro_rules! info {
    (publishes: [$($published:literal),* $(,)?], handles: [$($handled:literal),* $(,)?] $(,)?) => {
        $crate::Info {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            description: env!("CARGO_PKG_DESCRIPTION"),
            publishes: &[$($published),*],
            handles: &[$($handled),*],
        }
    };
}

/// Healthy is who can reach its data: 200 if one of its tables can be read.
///
/// # Errors
/// 500 otherwise.
pub fn health(table: &'static str) -> Result<Response, Error> {
    sql::first::<(i64,)>(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wharf_sdk::migrate;

    use super::*;

    #[test]
    fn it_is_healthy_as_long_as_its_table_is_there() {
        assert_eq!(health("things").unwrap_err().status(), 500);
        migrate("CREATE TABLE things (id TEXT)").unwrap();
        assert_eq!(health("things").unwrap().status(), 200, "empty as it is");
        sql::execute("DROP TABLE things", &[]).unwrap();
        assert_eq!(health("things").unwrap_err().status(), 500);
    }

    #[test]
    fn it_is_what_its_package_says() {
        let info = crate::info! { publishes: ["a.b", "a.c"], handles: [] };
        let shown: Value = serde_json::from_slice(&info.show().unwrap().into_bytes()).unwrap();
        let description = env!("CARGO_PKG_DESCRIPTION");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            shown,
            json!({
                "name": "shop", "version": version, "description": description,
                "publishes": ["a.b", "a.c"], "handles": [],
            })
        );
    }
}
