//! What is wanted at many places is asked for at once.

use super::*;

#[test]
fn users_and_products_of_many_orders_are_one_call_each() {
    let asked = services(&[]);
    let query = "{ orders { items { id status total { amount currency } user { username }
        items { quantity unitPrice { amount } product { name } } } next } }";
    let answer = answered(as_admin(question(query)));
    assert_eq!(answer.get("errors"), None, "{answer}");
    let orders = answer["data"]["orders"]["items"].as_array().unwrap();
    assert_eq!(orders.len(), 12);
    for (number, order) in orders.iter().enumerate() {
        assert_eq!(order["user"]["username"], format!("name-u{}", number % 3));
        assert_eq!(order["items"][0]["product"]["name"], format!("product p{}", number % 4));
        assert_eq!(order["total"], json!({ "amount": 3_000_000_000_i64, "currency": "EUR" }));
        assert_eq!(order["status"], "PENDING");
    }
    let unknown: Vec<_> = orders.iter().filter(|order| order["items"][1]["product"].is_null()).collect();
    assert_eq!(unknown.len(), 3, "a product that is not there is null, and nothing else is");
    assert_eq!(
        *asked.borrow(),
        [
            "orders.internal / limit=20",
            "users.internal / ids=u0,u1,u2",
            "catalog.internal / ids=p0,p1,p10,p11,p12,p13,p2,p3"
        ]
    );
}

#[test]
fn the_orders_of_many_users_are_one_call_for_each_part_of_them() {
    let asked = services(&[]);
    let query = "{ users(first: 3) { items { id
        orders(first: 5) { items { userId items { product { name } } } next }
        again: orders(first: 5) { next }
        sent: orders(first: 7, status: SHIPPED, after: \"a b\") { next } } } }";
    let answer = answered(as_admin(question(query)));
    assert_eq!(answer.get("errors"), None, "{answer}");
    let users = answer["data"]["users"]["items"].as_array().unwrap();
    for user in &users[..2] {
        let (id, page) = (user["id"].as_str().unwrap(), &user["orders"]);
        assert_eq!((&page["items"][0]["userId"], &page["next"]), (&json!(id), &json!(format!("after-{id}"))));
        assert_eq!(page["items"][0]["items"][0]["product"]["name"], "product p1");
        assert_eq!((&user["again"]["next"], &user["sent"]["next"]), (&page["next"], &page["next"]));
    }
    assert_eq!(users[2]["orders"], Value::Null, "a page that is not there is null, and nothing else is");
    assert_eq!(
        *asked.borrow(),
        [
            "users.internal / limit=3",
            "orders.internal / userIds=u1,u2,u3&limit=5",
            "orders.internal / userIds=u1,u2,u3&limit=7&status=shipped&after=a b",
            "catalog.internal / ids=p1,p11",
        ]
    );
}

#[test]
fn more_orders_than_an_answer_has_place_for_are_more_calls() {
    let asked = services(&[]);
    let ask = |first: u32| {
        let query = format!("{{ users(first: 100) {{ items {{ orders(first: {first}) {{ next }} }} }} }}");
        let answer = answered(as_admin(question(&query)));
        assert_eq!(answer["data"]["users"]["items"][99]["orders"]["next"], "after-u100", "{answer}");
        let asked = std::mem::take(&mut *asked.borrow_mut());
        asked[1..].iter().map(|line| line.matches(",u").count() + 1).collect::<Vec<_>>()
    };
    assert_eq!((ask(1), ask(4), ask(5), ask(20)), (vec![100], vec![100], vec![80, 20], vec![20; 5]));
}

#[test]
fn orders_of_a_user_fail_with_their_service_and_are_nobody_elses() {
    let asked = services(&["orders"]);
    let answer = answered(as_admin(question("{ users { items { id orders { next } } } }")));
    assert_eq!(answer["data"]["users"]["items"][1], json!({ "id": "u2", "orders": null }));
    assert_eq!((answer["errors"].as_array().unwrap().len(), code(&answer)), (3, "UNAVAILABLE"));
    assert_eq!(asked.borrow().len(), 2);
    let asked = services(&[]);
    let answer = answered(as_user(question("{ me { orders(first: 2) { items { userId } } } }")));
    assert_eq!(answer["data"]["me"]["orders"]["items"], json!([{ "userId": "u1" }]));
    assert_eq!(asked.borrow()[1], "orders.internal / userIds=u1&limit=2", "for nobody else");
    for first in [0, 101, -1] {
        let answer = answered(as_user(question(&format!("{{ me {{ orders(first: {first}) {{ next }} }} }}"))));
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{first}");
    }
}

#[test]
fn what_is_found_in_one_place_is_not_asked_for_in_another() {
    let asked = services(&[]);
    let query = "{ a: product(id: \"p1\") { name } b: product(id: \"p2\") { name } c: product(id: \"p1\") { sku }
        order(id: \"o1\") { items { product { name } } } }";
    let answer = answered(as_admin(question(query)));
    assert_eq!(answer["data"]["order"]["items"][1]["product"]["name"], "product p11", "{answer}");
    assert_eq!(*asked.borrow(), ["orders.internal /o1", "catalog.internal / ids=p1,p11,p2"]);
}
