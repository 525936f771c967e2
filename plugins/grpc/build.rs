//! Makes messages and descriptors of the files in `proto/`, without a compiler from outside (`protoc`).
//!
//! For reflection each file is written as it is asked for, with its names: nothing has to be decoded at run time.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

const FILES: [&str; 4] = [
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
    "wharf/shop/v1/shop.proto",
];

#[expect(clippy::disallowed_methods, reason = "it is how cargo says where to write")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let set = protox::compile(FILES, ["proto"])?;
    let out = std::env::var("OUT_DIR")?;
    let mut index = String::from("static FILES: &[File] = &[\n");
    for file in &set.file {
        let mut symbols = Vec::new();
        let services = file.service.iter().map(|service| full(file.package(), service.name())).collect::<Vec<_>>();
        names(file, &mut symbols);
        // Comments are for readers of the sources.
        let bytes = FileDescriptorProto { source_code_info: None, ..file.clone() }.encode_to_vec();
        writeln!(
            index,
            "File {{ name: {:?}, dependencies: &{:?}, services: &{services:?}, symbols: &{symbols:?}, bytes: &{bytes:?} }},",
            file.name(),
            file.dependency,
        )?;
    }
    index.push_str("];\n");
    std::fs::write(Path::new(&out).join("descriptors.rs"), index)?;
    prost_build::Config::new().compile_fds(set)?;
    Ok(())
}

/// Everything in a file that a client may ask for by name.
fn names(file: &FileDescriptorProto, symbols: &mut Vec<String>) {
    let package = file.package();
    for service in &file.service {
        let service_name = full(package, service.name());
        symbols.extend(service.method.iter().map(|method| full(&service_name, method.name())));
        symbols.push(service_name);
    }
    file.message_type.iter().for_each(|message| in_message(package, message, symbols));
    file.enum_type.iter().for_each(|one| in_enum(package, one, symbols));
}

fn in_message(scope: &str, message: &DescriptorProto, symbols: &mut Vec<String>) {
    let name = full(scope, message.name());
    symbols.extend(message.field.iter().map(|field| full(&name, field.name())));
    symbols.extend(message.oneof_decl.iter().map(|one| full(&name, one.name())));
    message.nested_type.iter().for_each(|inner| in_message(&name, inner, symbols));
    message.enum_type.iter().for_each(|one| in_enum(&name, one, symbols));
    symbols.push(name);
}

/// The values of an enum are names beside it, not below.
fn in_enum(scope: &str, one: &EnumDescriptorProto, symbols: &mut Vec<String>) {
    symbols.push(full(scope, one.name()));
    symbols.extend(one.value.iter().map(|value| full(scope, value.name())));
}

fn full(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
