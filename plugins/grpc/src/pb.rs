//! Generated messages, and nothing else. Both versions of reflection have the same ones.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

pub(crate) mod shop {
    include!(concat!(env!("OUT_DIR"), "/wharf.shop.v1.rs"));
}

pub(crate) mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

pub(crate) mod reflection {
    include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
}
