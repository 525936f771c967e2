//! The services that clients of gRPC know by themselves.

use prost_types::FileDescriptorProto;

use super::*;
use pb::health::{HealthCheckRequest, HealthCheckResponse};
use pb::reflection::server_reflection_request::MessageRequest;
use pb::reflection::server_reflection_response::MessageResponse;
use pb::reflection::{ServerReflectionRequest, ServerReflectionResponse};

fn reflected(version: &str, requests: &[MessageRequest]) -> Vec<MessageResponse> {
    let ask = |message: &MessageRequest| {
        framed(&ServerReflectionRequest { host: "h".to_owned(), message_request: Some(message.clone()) })
    };
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let body: Vec<u8> = requests.iter().flat_map(ask).collect();
    let (answers, status, _) = answer::<ServerReflectionResponse>(request(&path, body));
    assert_eq!(status, 0);
    assert!(answers.iter().all(|answer| answer.valid_host == "h"));
    answers.into_iter().map(|answer| answer.message_response.unwrap()).collect()
}

#[test]
fn each_service_is_well_if_the_one_behind_it_is() {
    answered_by(|host, request| {
        assert_eq!(request.path(), "/health");
        if host.starts_with("orders") { Err(Error::new(503, "no place")) } else { Ok(Response::text("ok")) }
    });
    let check = |service: &str| {
        let body = framed(&HealthCheckRequest { service: service.to_owned() });
        let (answers, code, _) = answer::<HealthCheckResponse>(request("/grpc.health.v1.Health/Check", body));
        (code, answers.first().map(|answer| answer.status))
    };
    assert_eq!(check(""), (0, Some(1)));
    assert_eq!(check("wharf.shop.v1.Catalog"), (0, Some(1)));
    assert_eq!(check("wharf.shop.v1.Orders"), (0, Some(2)));
    assert_eq!(check("grpc.health.v1.Health"), (0, Some(1)));
    assert_eq!(check("nothing"), (5, None));
}

#[test]
fn clients_learn_what_there_is() {
    let names = ["v1", "v1alpha"].map(|version| {
        let answers = reflected(version, &[MessageRequest::ListServices("*".to_owned())]);
        let [MessageResponse::ListServicesResponse(list)] = answers.as_slice() else { panic!("{answers:?}") };
        list.service.iter().map(|service| service.name.clone()).collect::<Vec<_>>()
    });
    assert_eq!(names[0], names[1]);
    for name in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "wharf.shop.v1.Catalog",
        "wharf.shop.v1.Orders",
    ] {
        assert!(names[0].iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn every_name_leads_to_the_file_that_has_it() {
    let symbols = [
        "wharf.shop.v1.Orders",
        "wharf.shop.v1.Orders.WatchOrder",
        "wharf.shop.v1.Money",
        "wharf.shop.v1.Order.status",
        "wharf.shop.v1.ORDER_STATUS_PENDING",
    ];
    let mut requests: Vec<_> = symbols.map(|name| MessageRequest::FileContainingSymbol(name.to_owned())).to_vec();
    requests.push(MessageRequest::FileByFilename("wharf/shop/v1/shop.proto".to_owned()));
    for answer in reflected("v1", &requests) {
        let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
        let file = FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
        assert_eq!((file.name(), file.package()), ("wharf/shop/v1/shop.proto", "wharf.shop.v1"));
        assert!(file.service.iter().any(|service| service.name() == "Orders"));
    }
    let unknown = [
        MessageRequest::FileContainingSymbol("wharf.shop.v1.Nothing".to_owned()),
        MessageRequest::FileContainingSymbol("wharf.shop.v1".to_owned()),
        MessageRequest::FileByFilename("nothing.proto".to_owned()),
        MessageRequest::AllExtensionNumbersOfType("wharf.shop.v1.Money".to_owned()),
    ];
    for answer in reflected("v1", &unknown) {
        let MessageResponse::ErrorResponse(error) = answer else { panic!("{answer:?}") };
        assert_eq!(error.error_code, 5);
    }
}
