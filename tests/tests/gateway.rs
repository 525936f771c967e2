//! Routing and what the gateway does to a request, through the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use wharf_tests::Wharf;

#[tokio::test]
async fn a_component_answers_under_its_name() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let answer = wharf.get("/hostile/").await;
    answer.assert_status(200);
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.header("content-length"), "2", "a body that is complete at once leaves with its length");
}
