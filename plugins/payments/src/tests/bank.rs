//! A provider in memory that does what a test says: fails before it has done something, or after.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use wharf_sdk::{Error, Method, Request, Response, answer_calls};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It is not done.
    Down,
    /// It is done, and the answer is lost.
    Lost,
    /// The order is cancelled by somebody else before it is done.
    Cancelled,
}

#[derive(Default)]
struct State {
    charges: Vec<Value>,
    keys: Vec<String>,
    faults: Vec<Fault>,
    requests: usize,
}

/// The bank of this test.
#[derive(Clone, Default)]
pub(super) struct Bank(Rc<RefCell<State>>);

impl Bank {
    /// Opens it. The first requests meet these faults.
    pub(super) fn open(faults: &[Fault]) -> Self {
        let bank = Self::default();
        bank.fail(faults);
        let answering = bank.clone();
        answer_calls(move |request| answering.answer(request));
        bank
    }

    /// The next requests meet these faults.
    pub(super) fn fail(&self, faults: &[Fault]) {
        self.0.borrow_mut().faults = faults.iter().rev().copied().collect();
    }

    /// Reference, amount and status of each charge.
    pub(super) fn charges(&self) -> Vec<(String, i64, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told =
            |charge: &Value| (text(&charge["reference"]), charge["amount"].as_i64().unwrap(), text(&charge["status"]));
        self.0.borrow().charges.iter().map(told).collect()
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.0.borrow().requests
    }

    fn answer(&self, mut request: Request) -> Result<Response, Error> {
        assert_eq!(request.header("host").as_deref(), Some("127.0.0.1:8080"));
        self.0.borrow_mut().requests += 1;
        let fault = self.0.borrow_mut().faults.pop().unwrap_or(Fault::None);
        if fault == Fault::Down {
            return Err(Error::new(503, "down"));
        }
        if fault == Fault::Cancelled {
            crate::process::cancel("o1", None).unwrap();
        }
        let answer = self.done(&mut request);
        if fault == Fault::Lost { Err(Error::new(502, "lost")) } else { answer }
    }

    fn done(&self, request: &mut Request) -> Result<Response, Error> {
        let State { charges, keys, .. } = &mut *self.0.borrow_mut();
        let path = request.path().strip_prefix("/bank/charges").unwrap().to_owned();
        let path: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), path.as_slice()) {
            (Method::Get, []) => {
                let reference = request.query("reference").unwrap();
                let found: Vec<_> = charges.iter().filter(|charge| charge["reference"] == reference.as_str()).collect();
                Ok(Response::json(&json!({ "items": found, "next": null })))
            }
            (Method::Post, []) => {
                let key = request.header("idempotency-key").unwrap();
                if let Some(place) = keys.iter().position(|known| *known == key) {
                    return Ok(Response::json(&charges[place]).with_status(201));
                }
                let mut charge: Value = request.json()?;
                match charge["card"].as_str().unwrap() {
                    "tok_visa" => {}
                    "tok_rude" => return Err(Error::new(402, format!("no\r\n{}", "x".repeat(500)))),
                    "tok_unknown" => return Err(Error::new(422, "no such card")),
                    _ => return Err(Error::new(402, "the card is declined")),
                }
                charge["id"] = json!(format!("c{}", charges.len()));
                charge["status"] = json!("authorized");
                keys.push(key);
                charges.push(charge.clone());
                Ok(Response::json(&charge).with_status(201))
            }
            (Method::Post, [id, step]) => {
                let charge = charges.iter_mut().find(|charge| charge["id"] == *id).unwrap();
                charge["status"] = match (*step, charge["status"].as_str().unwrap()) {
                    ("capture", "authorized" | "captured") => json!("captured"),
                    ("refund", "captured" | "refunded") => json!("refunded"),
                    ("refund", "authorized" | "voided") => json!("voided"),
                    _ => return Err(Error::conflict("no")),
                };
                Ok(Response::json(charge))
            }
            other => panic!("{other:?}"),
        }
    }
}
