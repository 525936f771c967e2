use http::Request;
use serde_json::json;

use super::super::told::told;
use super::*;

/// `open sesame`, at the lowest cost.
fn bcrypt_of(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn argon2_of(password: &str) -> String {
    use argon2::password_hash::{PasswordHasher, SaltString};
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2
        .hash_password(password.as_bytes(), &SaltString::encode_b64(b"0123456789abcdef").unwrap())
        .unwrap()
        .to_string()
}

fn filter_of(list: &str, more: serde_json::Value) -> Result<BasicAuth, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    std::fs::write(&path, list).unwrap();
    let mut config = json!({ "users": { "file": path } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut filter = BasicAuth::new(&serde_json::from_value(config).unwrap())?;
    filter.workers = Arc::new(Workers::new(2, 64, PATIENCE));
    Ok(filter)
}

fn filter() -> BasicAuth {
    let list = format!("# people\nada:{}\nbob:{}\nzoë:{}\n", bcrypt_of("a:b"), argon2_of("pw"), bcrypt_of("naïve"));
    filter_of(&list, json!({})).unwrap()
}

fn request(values: &[&str]) -> Parts {
    let request = values.iter().fold(Request::get("/"), |request, value| request.header("authorization", *value));
    request.body(()).unwrap().into_parts().0
}

fn with(credentials: &str) -> Parts {
    request(&[&format!("Basic {}", BASE64_STANDARD.encode(credentials))])
}

async fn found(filter: &BasicAuth, parts: &Parts) -> Result<Option<String>, Refused> {
    filter.authenticate(parts).await.map(|identity| identity.map(|identity| identity.subject))
}

#[tokio::test]
async fn right_names_and_passwords_of_both_kinds_of_hash_are_let_in() {
    let filter = filter();
    for (credentials, name) in [("ada:a:b", "ada"), ("bob:pw", "bob"), ("zoë:naïve", "zoë")] {
        assert_eq!(found(&filter, &with(credentials)).await, Ok(Some(name.to_owned())));
        assert_eq!(found(&filter, &with(credentials)).await, Ok(Some(name.to_owned())), "remembered");
    }
}

#[tokio::test]
async fn wrong_names_and_passwords_are_refused_alike() {
    let filter = filter();
    let mut said = Vec::new();
    for credentials in ["ada:a", "ada:a:b:", "ada:", "Ada:a:b", "eve:pw", "bob:a:b", "bob:PW"] {
        said.push(found(&filter, &with(credentials)).await.unwrap_err());
    }
    said.dedup();
    assert_eq!(said, [Refused::Invalid("the user's name or the password is wrong")]);
}

#[tokio::test]
async fn malformed_credentials_are_refused_and_other_schemes_left_to_others() {
    let filter = filter();
    let long = format!("ada:{}", "x".repeat(2000));
    for credentials in ["ada", ":a:b", "", "ada:a\0b", "ada:a\nb", &long] {
        let refused = found(&filter, &with(credentials)).await;
        assert_eq!(refused, Err(Refused::Invalid("the credentials are malformed")), "{credentials:?}");
    }
    for value in ["Basic", "Basic ", "basic !!!!", "BASIC YWRh=", "Basic /w=="] {
        assert!(found(&filter, &request(&[value])).await.is_err(), "{value}");
    }
    for value in ["Bearer YWRhOmE6Yg==", "Basics YWRhOmE6Yg==", "BasicYWRhOmE6Yg=="] {
        assert_eq!(found(&filter, &request(&[value])).await, Ok(None), "{value}");
    }
    assert_eq!(found(&filter, &request(&[])).await, Ok(None));
    assert!(found(&filter, &request(&["Bearer x", "Basic YWRhOmE6Yg=="])).await.is_err());
    for value in ["bAsIc  YWRhOmE6Yg==", "Basic\tYWRhOmE6Yg=="] {
        assert_eq!(found(&filter, &request(&[value])).await, Ok(Some("ada".to_owned())), "{value}");
    }
}

#[tokio::test]
async fn what_was_right_is_verified_once_and_what_was_wrong_each_time() {
    let mut filter = filter();
    found(&filter, &with("ada:a:b")).await.unwrap();
    filter.workers = Arc::new(Workers::new(0, 0, PATIENCE));
    assert_eq!(found(&filter, &with("ada:a:b")).await, Ok(Some("ada".to_owned())));
    for not_remembered in ["ada:wrong", "bob:pw", "eve:a:b"] {
        assert_eq!(found(&filter, &with(not_remembered)).await, Err(Refused::Overloaded), "{not_remembered}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_right_is_forgotten_in_time() {
    let mut filter = filter();
    let digest = filter.digest("ada", filter.users.current().get("ada").unwrap(), "a:b").unwrap();
    filter.remembered.insert(digest, Instant::now() + REMEMBERED);
    filter.workers = Arc::new(Workers::new(0, 0, PATIENCE));
    tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
    assert!(found(&filter, &with("ada:a:b")).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(found(&filter, &with("ada:a:b")).await, Err(Refused::Overloaded));
}

#[test]
fn a_changed_hash_is_another_memory() {
    let filter = filter();
    let parts = [("a", "h", "p"), ("b", "h", "p"), ("a", "i", "p"), ("a", "h", "q"), ("ah", "", "p"), ("a", "hp", "")];
    let digests: std::collections::HashSet<_> = parts.iter().map(|(n, h, p)| filter.digest(n, h, p)).collect();
    assert_eq!(digests.len(), parts.len());
}

#[tokio::test]
async fn a_password_that_bcrypt_would_cut_off_is_wrong() {
    let long = "x".repeat(80);
    let filter = filter_of(&format!("ada:{}", bcrypt_of(&long)), json!({})).unwrap();
    for password in [&long, &"x".repeat(72)] {
        assert!(found(&filter, &with(&format!("ada:{password}"))).await.is_err());
    }
}

#[tokio::test]
async fn the_service_sees_who_it_was_and_the_password_only_if_it_is_forwarded() {
    for forward in [false, true] {
        let more = json!({ "forward": forward, "subjectHeader": "x-user", "realm": "the shop" });
        let filter = filter_of(&format!("ada:{}", bcrypt_of("pw")), more).unwrap();
        assert_eq!(filter.challenge(), "Basic realm=\"the shop\", charset=\"UTF-8\"");
        let mut parts = with("ada:pw");
        parts.headers.insert("x_user", HeaderValue::from_static("root"));
        let identity = filter.authenticate(&parts).await.unwrap().unwrap();
        filter.strip(&mut parts);
        told("x-user").strip(&mut parts.headers);
        filter.tell(&mut parts, &identity);
        assert_eq!(parts.headers["x-user"], "ada");
        assert!(!parts.headers.contains_key("x_user"));
        assert_eq!(parts.headers.contains_key("authorization"), forward);
    }
    let mut bearer = request(&["Bearer token"]);
    filter().strip(&mut bearer);
    assert!(bearer.headers.contains_key("authorization"), "another filter's");
}

#[test]
fn a_wrong_line_is_named_by_its_number_and_never_shown() {
    let good = bcrypt_of("x");
    for (list, expected) in [
        ("s3cret".to_owned(), "line 1: write `name:hash`"),
        (format!("# c\n\n:{good}"), "line 3: begin with a user's name"),
        ("ada:s3cret".to_owned(), "line 1: neither bcrypt nor argon2id: make a new line with `wharf hash password`"),
        ("ada:$apr1$s3cret".to_owned(), "line 1: MD5 is too weak"),
        ("ada:{SHA}s3cret".to_owned(), "line 1: SHA-1 is too weak"),
        ("ada:$6$s3cret".to_owned(), "line 1: crypt with SHA-2 is not supported"),
        ("ada:$argon2i$s3cret".to_owned(), "line 1: of the kinds of argon2 only argon2id"),
        ("ada:$argon2id$s3cret".to_owned(), "line 1: not a whole argon2id hash"),
        ("ada:$2y$04$s3cret".to_owned(), "line 1: not a whole bcrypt hash"),
        (format!("ada:{}!", &good[..59]), "line 1: not a whole bcrypt hash"),
        (format!("ada:{}", good.replace("$04$", "$31$")), "line 1: bcrypt cost 31 is out of bounds: 4 to 14"),
        (format!("ada:{}", argon2_of("x").replace("m=8", "m=999999")), "line 1: argon2id costs are out of bounds"),
        (format!("ada:{good}\nada:{good}"), "line 2: this user is listed already"),
    ] {
        let error = filter_of(&list, json!({})).unwrap_err();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{list}: {error}");
    }
}

#[test]
fn debug_shows_neither_hashes_nor_the_key_of_the_memory() {
    let filter = filter();
    let shown = format!("{filter:?}");
    assert!(!shown.contains("$argon2id$") && !shown.contains(&format!("{:?}", filter.key)), "{shown}");
}
