//! A client of the service `grpc`, made of its own `.proto` file by other tools than its server.

use std::error::Error;

const FILE: &str = "wharf/shop/v1/shop.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let proto = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/grpc/proto");
    println!("cargo::rerun-if-changed={}", proto.join(FILE).display());
    let set = protox::compile([FILE], [proto])?;
    tonic_prost_build::configure().build_server(false).build_transport(false).compile_fds(set)?;
    Ok(())
}
