//! What is allowed and hardly meant is said in the log of a running gateway.

use wharf_tests::Wharf;

#[tokio::test]
async fn warnings_are_logged_at_the_start_and_when_the_configuration_changes() {
    let wharf = Wharf::builder().gateway("trustedProxies: [0.0.0.0/0]").start().await;
    wharf.logged("`0.0.0.0/0` believes everybody").await;
    wharf.configure("gateway.yaml", "trustedProxies: ['::/0']");
    wharf.logged("`::/0` believes everybody").await;
}
