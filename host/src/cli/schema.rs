//! `wharf schema`: the configuration format as JSON Schema, for editors.

use std::io::{self, Write};

use crate::config::{SchemaKind, schema};

/// Prints the schema of one kind of file, indented.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(kind: SchemaKind, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &schema(kind))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_printed_as_json() {
        let mut out = Vec::new();
        run(SchemaKind::Service, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["title"], "Wharf services/<name>.yaml");
        assert!(out.ends_with(b"}\n"));
    }
}
