//! The format as JSON Schema (2020-12), for editors and CI: `wharf schema`.
//!
//! Derived from the same structs that are filled from files, with their doc comments as descriptions and their
//! `Default`s as defaults. A schema can say less than [`super::load`] checks (bounds of durations and sizes, what must
//! agree with what), and it is stricter in one thing: text that looks like a number must be quoted except where such
//! text is usual. What the schema accepts may therefore still be refused; what it refuses is not worth writing.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::model::Gateway;
use super::service::Service;

/// Which file a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// `gateway.yaml`.
    Gateway,
    /// `services/<name>.yaml`.
    Service,
    /// `env/<name>.yaml`.
    Overlay,
}

/// The schema of one kind of file.
pub fn schema(kind: SchemaKind) -> Value {
    let generator = || SchemaSettings::draft2020_12().into_generator();
    match kind {
        SchemaKind::Gateway => titled(generator().into_root_schema_for::<Gateway>().into(), "gateway.yaml"),
        SchemaKind::Service => titled(generator().into_root_schema_for::<Service>().into(), "services/<name>.yaml"),
        SchemaKind::Overlay => {
            let mut generator = generator();
            let service = generator.subschema_for::<Service>();
            let overlay = generator.into_root_schema_for::<Gateway>();
            // Fields of both kinds are needed, and `into_root_schema_for` keeps the definitions made before it.
            partial(titled(overlay.into(), "env/<name>.yaml"), &service.into())
        }
    }
}

fn titled(mut schema: Value, file: &str) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), json!(format!("Wharf {file}")));
    }
    schema
}

/// What lies over something else need not be complete: a route is found by its name, the rest may come from below.
fn partial(mut schema: Value, service: &Value) -> Value {
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        let services = json!({
            "description": "What would stand in `services/<name>.yaml`, by service name.",
            "type": "object",
            "propertyNames": { "pattern": text::SERVICE_NAME },
            "additionalProperties": service,
        });
        properties.insert("services".to_owned(), services);
    }
    if let Some(required) = schema.pointer_mut("/$defs/Route/required") {
        *required = json!(["name"]);
    }
    if let Some(incomplete) = schema.pointer_mut("/$defs/Rule/else") {
        *incomplete = json!(true);
    }
    schema
}

/// Kinds of text that are plain `String`s once they were checked, as schemas.
pub(super) mod text {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    pub(super) const SERVICE_NAME: &str = "^[a-z][a-z0-9-]{0,62}$";

    macro_rules! text {
        ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub(in crate::config) struct $name;

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*};
    }

    text! {
        /// The path of a request.
        Path = { "type": "string", "pattern": r"^/[^?#\s\\]*$" };
        /// A DNS name, maybe with `*.` before it.
        Hostname = {
            "type": "string",
            "pattern": r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        };
        /// A method in upper case.
        Method = { "type": "string", "pattern": "^[A-Z-]+$" };
        /// The name of a service.
        ServiceName = { "type": "string", "pattern": SERVICE_NAME };
        /// A name: any text that is not empty.
        Name = { "type": "string", "minLength": 1 };
        /// The name of a topic, or of something that is named alike.
        Topic = { "type": "string", "pattern": r"^[A-Za-z0-9_.*#-]{1,255}$" };
        /// A word of the registry: a tag, a name, a key.
        Word = { "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9._+-]{1,64}$" };
        /// A regular expression in the syntax of the crate `regex`.
        Pattern = { "type": "string", "minLength": 1, "maxLength": 1024 };
        /// Any text, also one that looks like a number or a truth value and is not quoted.
        Scalar = { "type": ["string", "number", "boolean"] };
    }
}
