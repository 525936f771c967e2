//! `grpc.reflection.v1.ServerReflection`, and its older name: what services there are, and how they are written.
//!
//! The descriptors are made when this is built. A file is given with all that it needs, as the protocol recommends.

use crate::pb::reflection::server_reflection_request::MessageRequest;
use crate::pb::reflection::server_reflection_response::MessageResponse;
use crate::pb::reflection::{
    ErrorResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse,
    ServiceResponse,
};
use crate::status::Code;

struct File {
    name: &'static str,
    dependencies: &'static [&'static str],
    services: &'static [&'static str],
    /// Services, methods, messages, fields, enums and their values, each with its full name.
    symbols: &'static [&'static str],
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/descriptors.rs"));

pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    FILES.iter().flat_map(|file| file.services.iter().copied())
}

pub(crate) fn answer(request: ServerReflectionRequest) -> ServerReflectionResponse {
    let message = match &request.message_request {
        Some(MessageRequest::ListServices(_)) => {
            let service = services().map(|name| ServiceResponse { name: name.to_owned() }).collect();
            MessageResponse::ListServicesResponse(ListServiceResponse { service })
        }
        Some(MessageRequest::FileByFilename(name)) => files(FILES.iter().find(|file| file.name == name)),
        Some(MessageRequest::FileContainingSymbol(name)) => {
            files(FILES.iter().find(|file| file.symbols.contains(&name.as_str())))
        }
        // Messages of proto3 have none.
        Some(MessageRequest::FileContainingExtension(_) | MessageRequest::AllExtensionNumbersOfType(_)) => {
            error(Code::NotFound, "nothing here has extensions")
        }
        None => error(Code::InvalidArgument, "the request asks for nothing"),
    };
    ServerReflectionResponse {
        valid_host: request.host.clone(),
        original_request: Some(request),
        message_response: Some(message),
    }
}

/// A file and all that it needs, each once.
fn files(file: Option<&'static File>) -> MessageResponse {
    let Some(file) = file else { return error(Code::NotFound, "nothing here has this name") };
    let mut all = vec![file];
    let mut next = 0;
    while let Some(file) = all.get(next) {
        let needed = FILES.iter().filter(|one| file.dependencies.contains(&one.name));
        let new: Vec<_> = needed.filter(|one| !all.iter().any(|known| known.name == one.name)).collect();
        all.extend(new);
        next += 1;
    }
    let bytes = all.into_iter().map(|file| file.bytes.to_vec()).collect();
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto: bytes })
}

fn error(code: Code, message: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse { error_code: code as i32, error_message: message.to_owned() })
}
