//! A guest with a database: accounts between which money moves, and whatever statement it is sent.

use std::io::Write;

use serde_json::{Value as Json, json};
use wharf_sdk::sql::{self, Row, SqlError, Value};
use wharf_sdk::{Error, Event, Request, Response, Router, get, params, post, serve};

static ROUTER: Router = Router::new(&[
    get("/health", |_| Ok(Response::text("ok"))),
    // The body is a statement; parameters are JSON in the query `parameters`.
    post("/execute", execute),
    post("/query", query),
    // The same, row by row as it comes.
    post("/stream", stream),
    // Moves 1 from one account to another; `id` is remembered, in the same transaction.
    post("/move/{id}", transfer),
    // Begins a transaction, inserts, and then does what `then` says.
    post("/hold", hold),
    // Reads `count` points by key, one query each.
    get("/points/{count}", points),
    get("/point/{id}", point),
    post("/publish/{topic}", publish),
]);
serve!(ROUTER);

fn failed(error: SqlError) -> Error {
    let (status, kind) = match &error {
        SqlError::Denied(_) => (403, "denied"),
        SqlError::Statement(_) => (400, "statement"),
        SqlError::Constraint { .. } => (409, "constraint"),
        SqlError::Parameter(_) => (400, "parameter"),
        SqlError::Full(_) => (507, "full"),
        SqlError::Timeout(_) => (504, "timeout"),
        SqlError::Closed(_) => (410, "closed"),
        SqlError::TooLarge(_) => (413, "too-large"),
        SqlError::Event(_) => (422, "event"),
        SqlError::Unavailable(_) => (503, "unavailable"),
        SqlError::Column(_) => (500, "column"),
    };
    Error::new(status, format!("{kind}: {error}"))
}

fn text(request: &mut Request) -> Result<String, Error> {
    Ok(String::from_utf8(request.body(1 << 20)?)?)
}

fn parameters(request: &Request) -> Result<Vec<Value>, Error> {
    let text = request.query_or("parameters", "[]".to_owned())?;
    let values: Vec<Json> = serde_json::from_str(&text)?;
    Ok(values
        .into_iter()
        .map(|value| match value {
            Json::Null => Value::Null,
            Json::Number(number) if number.is_i64() => Value::Integer(number.as_i64().unwrap_or_default()),
            Json::Number(number) => Value::Real(number.as_f64().unwrap_or_default()),
            Json::Array(bytes) => {
                Value::Blob(bytes.iter().map(|byte| byte.as_u64().unwrap_or_default() as u8).collect())
            }
            Json::String(text) => Value::Text(text),
            other => Value::Text(other.to_string()),
        })
        .collect())
}

fn json(row: &Row, columns: usize) -> Result<Json, SqlError> {
    let values = (0..columns).map(|place| {
        Ok(match row.at::<Value>(place)? {
            Value::Null => Json::Null,
            Value::Integer(number) => json!(number),
            Value::Real(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::Blob(bytes) => json!(bytes),
        })
    });
    values.collect::<Result<Vec<_>, _>>().map(Json::Array)
}

fn execute(mut request: Request) -> Result<Response, Error> {
    let parameters = parameters(&request)?;
    let statement = text(&mut request)?;
    let changes = sql::execute(&statement, &parameters).map_err(failed)?;
    Ok(Response::json(&json!({ "rows": changes.rows, "id": changes.last_insert_id })))
}

fn query(mut request: Request) -> Result<Response, Error> {
    let parameters = parameters(&request)?;
    let statement = text(&mut request)?;
    let rows = sql::query(&statement, &parameters).map_err(failed)?;
    let columns = rows.columns().len();
    let rows: Result<Vec<_>, SqlError> = rows.map(|row| json(&row?, columns)).collect();
    Ok(Response::json(&rows.map_err(failed)?))
}

fn stream(mut request: Request) -> Result<Response, Error> {
    let statement = text(&mut request)?;
    let rows = sql::query(&statement, &[]).map_err(failed)?;
    Ok(Response::stream("text/plain", move |out: &mut dyn Write| {
        for row in rows {
            let row = row.map_err(std::io::Error::other)?;
            writeln!(out, "{}", row.at::<String>(0).map_err(std::io::Error::other)?)?;
        }
        Ok(())
    }))
}

fn transfer(request: Request) -> Result<Response, Error> {
    let id: i64 = request.param("id").parse()?;
    sql::transaction(|tx| {
        tx.execute("UPDATE accounts SET balance = balance - 1 WHERE id = ?1", params![id % 10])?;
        tx.execute("INSERT INTO moves VALUES (?1)", params![id])?;
        tx.execute("UPDATE accounts SET balance = balance + 1 WHERE id = ?1", params![(id + 1) % 10])?;
        Ok(())
    })
    .map_err(failed)?;
    Ok(Response::empty(204))
}

fn hold(request: Request) -> Result<Response, Error> {
    let then: String = request.query_or("then", String::new())?;
    sql::transaction(|tx| {
        tx.execute("INSERT INTO moves VALUES (-1)", &[])?;
        match then.as_str() {
            "trap" => std::process::abort(),
            "spin" => loop {
                std::hint::black_box(0);
            },
            "outside" => sql::execute("DELETE FROM moves", &[]).map(drop),
            "again" => sql::transaction(|_| Ok(())),
            "sleep" => {
                #[expect(clippy::disallowed_methods, reason = "a guest has no executor whose thread it could hold")]
                std::thread::sleep(std::time::Duration::from_secs(3));
                tx.execute("INSERT INTO moves VALUES (-2)", &[]).map(drop)
            }
            _ => Ok(()),
        }
    })
    .map_err(failed)?;
    Ok(Response::empty(204))
}

fn points(request: Request) -> Result<Response, Error> {
    let count: i64 = request.param("count").parse()?;
    let mut sum = 0;
    for id in 0..count {
        let found: Option<(i64,)> =
            sql::first("SELECT balance FROM accounts WHERE id = ?1", params![id % 10]).map_err(failed)?;
        sum += found.map_or(0, |(balance,)| balance);
    }
    Ok(Response::text(sum.to_string()))
}

fn point(request: Request) -> Result<Response, Error> {
    let id: i64 = request.param("id").parse()?;
    let found: Option<(i64,)> =
        sql::first("SELECT balance FROM accounts WHERE id = ?1", params![id]).map_err(failed)?;
    match found {
        Some((balance,)) => Ok(Response::text(balance.to_string())),
        None => Err(Error::new(404, "no such account")),
    }
}

fn publish(request: Request) -> Result<Response, Error> {
    let event = Event::new(request.param("topic")).data("text/plain", "moved");
    let ids = sql::transaction(|tx| {
        tx.execute("INSERT INTO moves VALUES (7)", &[])?;
        tx.publish(vec![event])
    })
    .map_err(failed)?;
    Ok(Response::json(&ids))
}
