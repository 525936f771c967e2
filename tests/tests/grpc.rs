//! gRPC through the gateway with `tonic`, whose client is made of the service's own file; health and reflection with
//! clients that know nothing of this project.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

mod front;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod shop {
    tonic::include_proto!("wharf.shop.v1");
}

use std::time::{Duration, Instant};

use front::Shop;
use futures_util::stream;
use prost::Message;
use serde_json::json;
use shop::catalog_client::CatalogClient;
use shop::orders_client::OrdersClient;
use shop::{GetOrderRequest, GetProductRequest, ListProductsRequest, OrderStatus, WatchOrderRequest};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use wharf_tests::eventually;

async fn connect(shop: &Shop) -> Channel {
    Channel::from_shared(shop.wharf.url("")).unwrap().connect().await.unwrap()
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn products_are_asked_for_one_by_one_and_as_a_stream() {
    let shop = Shop::start("grpc").await;
    let tea = shop.product("green tea", 5_000_000_000).await;
    for number in 0..4 {
        shop.product(&format!("blue mug {number}"), 990).await;
    }
    let mut catalog = CatalogClient::new(connect(&shop).await);
    let product = catalog.get_product(GetProductRequest { id: tea.clone() }).await.unwrap().into_inner();
    assert_eq!((product.name.as_str(), product.price.unwrap().amount), ("green tea", 5_000_000_000));
    let wanted = ListProductsRequest { query: "mug".to_owned(), category: "books".to_owned(), limit: 3 };
    let mut mugs = catalog.list_products(wanted).await.unwrap().into_inner();
    for number in 0..3 {
        assert_eq!(mugs.message().await.unwrap().unwrap().name, format!("blue mug {number}"));
    }
    assert_eq!(mugs.message().await.unwrap(), None);
    for (id, expected) in [("nothing", Code::NotFound), ("a/b", Code::InvalidArgument)] {
        let status = catalog.get_product(GetProductRequest { id: id.to_owned() }).await.unwrap_err();
        assert_eq!(status.code(), expected, "{status:?}");
    }
    let status = catalog.get_product(GetProductRequest { id: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(status.message(), "no product has this id");
    let limit = ListProductsRequest { limit: 5000, ..Default::default() };
    assert_eq!(catalog.list_products(limit).await.unwrap_err().code(), Code::InvalidArgument);
    // A service that is gone, and a message that is too long.
    let long = ListProductsRequest { query: "x".repeat(70_000), ..Default::default() };
    assert_eq!(catalog.list_products(long).await.unwrap_err().code(), Code::ResourceExhausted);
    std::fs::remove_file(shop.wharf.plugin_path("catalog.wasm")).unwrap();
    eventually("the catalog is gone", async || {
        let status = catalog.get_product(GetProductRequest { id: tea.clone() }).await.err()?;
        (status.code() == Code::Unavailable).then_some(())
    })
    .await;
    shop.assert_as_described().await;
}

#[tokio::test]
async fn an_order_is_watched_while_it_changes() {
    let shop = Shop::start("grpc").await;
    let (ann, bob) = (shop.user("ann").await, shop.user("bob").await);
    let tea = shop.product("green tea", 350).await;
    let id = shop.order(&ann, &[&tea]).await;
    let mut orders = OrdersClient::new(connect(&shop).await);
    let own = shop.token(&ann, &[]);
    let order = orders.get_order(with(&own, GetOrderRequest { id: id.clone() })).await.unwrap().into_inner();
    assert_eq!((order.status(), order.total.unwrap().amount), (OrderStatus::Pending, 700));
    assert_eq!((order.user_id.as_str(), order.items[0].quantity), (ann.as_str(), 2));
    for (token, expected) in [(String::new(), Code::Unauthenticated), (shop.token(&bob, &[]), Code::NotFound)] {
        let status = orders.get_order(with(&token, GetOrderRequest { id: id.clone() })).await.unwrap_err();
        assert_eq!(status.code(), expected, "{status:?}");
        let status = orders.watch_order(with(&token, WatchOrderRequest { id: id.clone() })).await.unwrap_err();
        assert_eq!(status.code(), expected, "{status:?}");
    }
    // Who leaves is not waited for: the call is over long before its deadline.
    let watches = || shop.wharf.access_log().iter().filter(|line| line.contains("WatchOrder")).count();
    eventually("those that were refused are logged", async || (watches() == 2).then_some(())).await;
    let mut left = orders.watch_order(with(&own, WatchOrderRequest { id: id.clone() })).await.unwrap().into_inner();
    assert!(left.message().await.unwrap().is_some());
    drop(left);
    eventually("the call is over", async || (watches() == 3).then_some(())).await;
    let began = Instant::now();
    let watch = orders.watch_order(with(&own, WatchOrderRequest { id: id.clone() })).await.unwrap();
    let mut states = watch.into_inner();
    let first = states.message().await.unwrap().unwrap();
    assert_eq!((first.version, first.status()), (1, OrderStatus::Pending));
    assert!(began.elapsed() < Duration::from_secs(5), "the first is there while others are to come");
    shop.post(&own, &format!("/api/orders/{id}/cancel"), &json!({})).await;
    let second = states.message().await.unwrap().unwrap();
    assert_eq!((second.version, second.status()), (2, OrderStatus::Cancelled));
    assert!(!second.reason.is_empty());
    assert_eq!(states.message().await.unwrap(), None, "nothing can happen any more");
    shop.assert_as_described().await;
}

#[tokio::test]
async fn a_watch_ends_with_a_status_at_its_deadline() {
    let shop = Shop::start("grpc").await;
    let (ann, tea) = (shop.user("ann").await, shop.product("green tea", 350).await);
    let id = shop.order(&ann, &[&tea]).await;
    let own = shop.token(&ann, &[]);
    // The client's: said to the server only, so that it is the server that ends it.
    let mut orders = OrdersClient::new(connect(&shop).await);
    let mut request = with(&own, WatchOrderRequest { id: id.clone() });
    request.metadata_mut().insert("grpc-timeout", "1500m".parse().unwrap());
    let began = Instant::now();
    let mut states = orders.watch_order(request).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().version, 1);
    assert_eq!(states.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1400) && took < Duration::from_secs(10), "{took:?}");
    // The operator's.
    let yaml = std::fs::read_to_string(shop.wharf.dir().join("gateway-config/services/grpc.yaml")).unwrap();
    shop.wharf.configure("services/grpc.yaml", &yaml.replace("longest: 50s", "longest: 300ms"));
    eventually("the configuration holds", async || {
        let began = Instant::now();
        let mut request = with(&own, WatchOrderRequest { id: id.clone() });
        request.metadata_mut().insert("grpc-timeout", "3S".parse().unwrap());
        let mut states = orders.watch_order(request).await.unwrap().into_inner();
        while let Ok(Some(_)) = states.message().await {}
        (began.elapsed() < Duration::from_secs(2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn health_is_that_of_the_services_behind_it() {
    let shop = Shop::start("grpc").await;
    let mut health = HealthClient::new(connect(&shop).await);
    let mut check = async |service: &str| {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
    };
    for service in ["", "wharf.shop.v1.Catalog", "wharf.shop.v1.Orders"] {
        assert_eq!(check(service).await, Ok(1), "{service}");
    }
    assert_eq!(check("nothing").await, Err(Code::NotFound));
    std::fs::remove_file(shop.wharf.plugin_path("orders.wasm")).unwrap();
    eventually("the orders are gone", async || (check("wharf.shop.v1.Orders").await == Ok(2)).then_some(())).await;
    assert_eq!(check("wharf.shop.v1.Catalog").await, Ok(1));
}

#[tokio::test]
async fn reflection_answers_while_it_is_asked() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;

    let shop = Shop::start("grpc").await;
    let channel = connect(&shop).await;
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    let questions = stream::unfold(asked, async |mut asked| Some((asked.recv().await?, asked)));
    let ask = async |message| {
        ask.send(v1::ServerReflectionRequest { host: String::new(), message_request: Some(message) }).await.unwrap();
    };
    // The head of the answer may come with the first message only.
    ask(MessageRequest::ListServices(String::new())).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(questions).await.unwrap().into_inner();
    let list = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = list else { panic!("{list:?}") };
    let services: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(services.iter().any(|name| name == "wharf.shop.v1.Orders"), "{services:?}");
    // Each further question is asked when the answer to the last one is there.
    for service in services {
        ask(MessageRequest::FileContainingSymbol(service.clone())).await;
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer else { panic!("{service}: {answer:?}") };
        let file = prost_types::FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
        let named = |one: &prost_types::ServiceDescriptorProto| format!("{}.{}", file.package(), one.name());
        assert!(file.service.iter().any(|one| named(one) == service), "{service}");
    }
    let older = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(stream::iter([older])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().message_response.is_some());
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_spoken_here_is_said_in_the_words_of_grpc() {
    let shop = Shop::start("grpc").await;
    let url = shop.wharf.url("/wharf.shop.v1.Catalog/GetProduct");
    let send = async |url: &str, headers: &[(&str, &str)]| {
        shop.wharf.client().send_http2("POST", url, headers, b"\0\0\0\0\0".as_slice()).await
    };
    let grpc = ("content-type", "application/grpc");
    for (headers, path, expected) in [
        (&[grpc, ("te", "trailers"), ("grpc-encoding", "gzip")][..], "GetProduct", "12"),
        (&[grpc, ("te", "trailers")], "Nothing", "12"),
        (&[grpc, ("te", "trailers"), ("grpc-timeout", "x")], "GetProduct", "3"),
    ] {
        let answer = send(&url.replace("GetProduct", path), headers).await;
        answer.assert_status(200);
        assert_eq!((answer.header("grpc-status"), answer.header("grpc-accept-encoding")), (expected, "identity"));
        assert_eq!((answer.body.len(), answer.trailers.is_none()), (0, true), "all is said in the head");
    }
    assert_eq!(send(&url, &[("content-type", "application/json")]).await.status, 415);
    // The service itself has no other way in.
    assert_eq!(send(&shop.wharf.url("/grpc/wharf.shop.v1.Catalog/GetProduct"), &[grpc]).await.status, 404);
}
