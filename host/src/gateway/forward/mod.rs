//! The attempts of a request at a service.

mod replay;
