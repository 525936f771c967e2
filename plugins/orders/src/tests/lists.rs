//! Lists of orders: whose, in pages, of several users at once.

use super::*;

#[test]
fn orders_are_shown_to_whom_they_belong() {
    World::new();
    let mine = order("/").id();
    let theirs = send(by(OTHER, Method::Post, "/").with_body(body().to_string())).id();
    assert_eq!(send(by(USER, Method::Get, &format!("/{theirs}"))).status, 404);
    assert_eq!(send(by(USER, Method::Get, &format!("/{theirs}/history"))).status, 404);
    assert_eq!(send(by(USER, Method::Post, &format!("/{theirs}/cancel"))).status, 404);
    assert_eq!(send(Request::get(&format!("/{theirs}"))).status, 200, "another service");
    assert_eq!(send(by(USER, Method::Get, &format!("/?userId={OTHER}"))).status, 403);
    let ids = |list: Value| {
        let items = list["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(read("/")), std::slice::from_ref(&mine));
    assert_eq!(ids(send(Request::get("/")).json).len(), 2);
    assert_eq!(ids(send(Request::get(&format!("/?userId={OTHER}"))).json), [theirs]);
    assert_eq!(send(by(USER, Method::Post, "/rebuild")).status, 403);
    let history = read(&format!("/{mine}/history"));
    assert_eq!(history["items"][0]["event"], "created");
    assert_eq!(history["items"][0]["data"], json!({ "total": 750, "currency": "EUR" }));
}

#[test]
fn lists_come_in_pages_the_newest_first() {
    World::new();
    let mut made: Vec<_> = (0..5).map(|_| order("/").id()).collect();
    commands::cancel(&made[1], &[Status::Pending], "r").unwrap();
    made.sort_unstable();
    made.reverse();
    let (mut found, mut target) = (Vec::new(), "/?limit=2".to_owned());
    loop {
        let page = read(&target);
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => target = format!("/?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, made);
    assert_eq!(read("/?status=cancelled")["items"].as_array().unwrap().len(), 1);
    for (target, status) in [("/?limit=0", 422), ("/?limit=101", 422), ("/?status=lost", 400)] {
        assert_eq!(send(by(USER, Method::Get, target)).status, status, "{target}");
    }
}

#[test]
fn orders_of_several_users_come_in_a_page_for_each() {
    World::new();
    let mut of_user: Vec<_> = (0..3).map(|_| order("/").id()).collect();
    let theirs = send(by(OTHER, Method::Post, "/").with_body(body().to_string())).id();
    commands::cancel(&of_user[1], &[Status::Pending], "r").unwrap();
    of_user.sort_unstable();
    of_user.reverse();
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let pages = |more: &str| {
        // In the order in which they are asked for, each once, and whoever has none is there, too.
        let seen = send(Request::get(&format!("/?userIds={OTHER},nobody,{USER},{OTHER}{more}")));
        assert_eq!((seen.status, &seen.json["next"]), (200, &Value::Null), "{}", seen.json);
        let mut left = seen.json["items"].as_array().unwrap().clone();
        let mut pages = seen.json["users"].as_array().unwrap().clone();
        let users: Vec<_> = pages.iter().map(|page| page["userId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(users, [OTHER, "nobody", USER]);
        for (page, user) in pages.iter_mut().zip(users) {
            let count = left.iter().take_while(|order| order["userId"] == user).count();
            page["items"] = left.drain(..count).collect();
        }
        assert!(left.is_empty(), "one page after the other: {left:?}");
        pages
    };
    let all = pages("&limit=2");
    assert_eq!((ids(&all[0]), &all[0]["next"]), (vec![theirs.clone()], &Value::Null));
    assert_eq!((ids(&all[1]), &all[1]["next"]), (vec![], &Value::Null));
    assert_eq!((ids(&all[2]), &all[2]["next"]), (of_user[..2].to_vec(), &json!(of_user[1])));
    assert_eq!(all[2]["items"][0], read(&format!("/{}", of_user[0])), "an order is the same everywhere");
    // What is asked for besides counts for each of them, and each page is the one that the user gets alone.
    for more in ["", "&limit=2", "&status=cancelled", &format!("&limit=1&after={}", of_user[0])] {
        for page in pages(more) {
            let user = page["userId"].as_str().unwrap();
            let alone = send(Request::get(&format!("/?userId={user}{more}"))).json;
            assert_eq!((&page["items"], &page["next"]), (&alone["items"], &alone["next"]), "{more}");
        }
    }
    assert_eq!(ids(&pages("&status=cancelled")[2]).len(), 1);
    assert_eq!(read("/").get("users"), None);
}

#[test]
fn only_those_inside_ask_for_orders_of_others_and_for_a_bounded_number() {
    World::new();
    let (both, own) = (format!("/?userIds={USER},{OTHER}"), format!("/?userIds={USER}"));
    let status = |request: Request| send(request).status;
    assert_eq!((status(by(USER, Method::Get, &both)), status(by(USER, Method::Get, &own))), (403, 200));
    assert_eq!(status(by(USER, Method::Get, &format!("/?userIds={OTHER}"))), 403);
    let admin = Request::get(&both).with_header("x-wharf-user-id", "a").with_header("x-wharf-user-roles", "admin");
    assert_eq!((status(admin), status(Request::get(&both))), (200, 200));
    assert_eq!(open_to_strangers(&ROUTER, &[(Method::Get, both.as_str()), (Method::Get, "/?userIds=")]), []);
    let many = |count: usize| (0..count).map(|n| format!("u{n}")).collect::<Vec<_>>().join(",");
    for (target, field) in [
        ("/?userIds=".to_owned(), "userIds"),
        ("/?userIds=a,".to_owned(), "userIds"),
        ("/?userIds=a,b%20c".to_owned(), "userIds"),
        (format!("/?userIds={}", many(101)), "userIds"),
        ("/?userIds=a&userId=a".to_owned(), "userId"),
        ("/?userIds=a&limit=101".to_owned(), "limit"),
        (format!("/?userIds={}", many(21)), "limit"),
        (format!("/?userIds={}&limit=5", many(100)), "limit"),
    ] {
        let seen = send(Request::get(&target));
        assert_eq!((seen.status, &seen.json["errors"][0]["field"]), (422, &json!(field)), "{target}: {}", seen.json);
    }
    for target in [format!("/?userIds={}", many(20)), format!("/?userIds={}&limit=4", many(100))] {
        assert_eq!(status(Request::get(&target)), 200, "{target}");
    }
}

#[test]
fn the_largest_orders_of_several_users_are_json_that_services_read() {
    World::new();
    let wide = |count: usize| "🦀".repeat(count);
    let mut largest = body();
    let item = |number: usize| json!({ "productId": format!("{number:064}"), "quantity": 1000 });
    largest["items"] = (0..50).map(item).collect();
    largest["coupon"] = json!(wide(64));
    largest["card"] = json!("c".repeat(64));
    largest["shippingAddress"] =
        json!({ "line1": wide(200), "city": wide(100), "postalCode": wide(20), "country": "GB" });
    let id = send(by(USER, Method::Post, "/").with_body(largest.to_string())).id();
    commands::cancel(&id, &[Status::Pending], &wide(500)).unwrap();
    let size = ROUTER.handle(inside(Request::get(&format!("/{id}")))).into_bytes().len();
    assert!((9000..(4 << 20) / crate::input::MOST_ORDERS).contains(&size), "{size}");
}
