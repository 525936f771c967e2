//! Who may ask for what.

use shop::testing::open_to_strangers;

use super::*;

#[test]
fn only_admins_and_services_see_and_set_the_rules() {
    setup();
    set_coupon("TEN", &json!({"percent": 10}));
    let all = [
        (Method::Get, "/coupons/TEN"),
        (Method::Put, "/coupons/TEN"),
        (Method::Get, "/rates"),
        (Method::Put, "/rates/EUR/USD"),
        (Method::Get, "/quantity-discounts"),
        (Method::Put, "/quantity-discounts"),
    ];
    for (method, target) in all {
        let customer = Request::new(method, target)
            .with_header("x-wharf-user-id", "u")
            .with_header("x-wharf-user-roles", "customer");
        assert_eq!(send(customer).0, 403, "{target}");
        let admin = Request::new(method, target).with_header("x-wharf-user-roles", "customer, admin");
        assert_ne!(send(admin).0, 403, "{target}");
    }
    assert_eq!(open_to_strangers(&ROUTER, &all), []);
    let customer = Request::new(Method::Post, "/quote").with_header("x-wharf-user-id", "u");
    assert_eq!(send(customer.with_body(basket("EUR", &[("tea", 1)]).to_string())).0, 200);
}

#[test]
fn everybody_may_ask_for_a_price_but_not_in_the_name_of_others() {
    setup();
    let quote = |headers: &[(&str, &str)], user: Option<&str>| {
        let mut question = basket("EUR", &[("tea", 1)]);
        if let Some(user) = user {
            question["userId"] = json!(user);
        }
        let request = Request::new(Method::Post, "/quote").with_body(question.to_string());
        ROUTER.handle(headers.iter().fold(request, |request, (name, value)| request.with_header(name, value))).status()
    };
    let (ann, admin) = ([("x-wharf-user-id", "ann")], [("x-wharf-user-id", "root"), ("x-wharf-user-roles", "admin")]);
    assert_eq!((quote(&[], None), quote(&[], Some("ann"))), (200, 401));
    assert_eq!((quote(&ann, None), quote(&ann, Some("ann")), quote(&ann, Some("bob"))), (200, 200, 403));
    assert_eq!((quote(&admin, Some("bob")), quote(&[("x-wharf-caller", "orders")], Some("bob"))), (200, 200));
}
