//! One request of a client: who it is from, and its calls to the services.
//!
//! Users, products and pages of users' orders are wanted one by one, from all over a query. They are looked up together:
//! [`run`] goes on with the query until nothing in it can go on without one of them, then asks each service once for all
//! that is wanted, and so on. Nobody guesses how long to wait for more, as one would with a timer: when the query stands
//! still, there is no more. What was found is kept to the end of the request, so nothing is asked for twice; but orders
//! are forgotten when one is made, for who asks for them after that.
//!
//! A request makes at most [`MOST_CALLS`] calls in at most [`TIME`], which is less than the host lets it: it ends with
//! fields that say so, not with calls that are refused or with no answer at all.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use wharf_sdk::{Call, Method, Request};

use crate::caller::{self, Caller};
use crate::failure::Failure;
use crate::model::{Order, Page, Product, User, by_id, by_user};
use crate::schema::OrderStatus;

/// The most calls that one request makes.
pub(crate) const MOST_CALLS: u32 = 80;
/// Ids that a service looks up at once.
const BATCH: usize = 100;
/// Orders that the pages of one answer have place for.
const ORDERS_AT_ONCE: usize = 400;
/// No answer is worth more of the time that the request has.
const PATIENCE: Duration = Duration::from_secs(4);
/// The time for all calls of a request, which is less than the gateway gives it: what is missing then is null, and the
/// client has the rest.
const TIME: Duration = Duration::from_secs(12);

pub(crate) const USERS: &str = "users";
pub(crate) const CATALOG: &str = "catalog";
pub(crate) const ORDERS: &str = "orders";

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    identity: Vec<(String, String)>,
    calls: AtomicU32,
    pub(crate) until: Instant,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    users: Wanted<User>,
    products: Wanted<Product>,
    /// By user, for each part of their orders that somebody wants.
    orders: BTreeMap<Part, Wanted<Arc<Page<Order>>>>,
    wakers: Vec<Waker>,
}

/// An id, and what was found by it: nothing if there is no such thing.
type Found<T> = (String, Result<Option<T>, Failure>);

/// Which of a user's orders are wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) status: Option<OrderStatus>,
    /// From 1 to what the largest page has.
    pub(crate) first: usize,
    pub(crate) after: Option<String>,
}

/// What of one kind is wanted, and what was found of it.
#[derive(Debug)]
struct Wanted<T> {
    ids: BTreeSet<String>,
    found: BTreeMap<String, Result<Option<T>, Failure>>,
}

impl<T> Default for Wanted<T> {
    fn default() -> Self {
        Self { ids: BTreeSet::new(), found: BTreeMap::new() }
    }
}

impl Session {
    pub(crate) fn new(request: &Request) -> Self {
        Self {
            caller: Caller::of(request),
            identity: caller::identity(request),
            calls: AtomicU32::new(0),
            until: Instant::now() + TIME,
            waiting: Mutex::default(),
        }
    }

    /// A user, if there is one and the caller may see it.
    pub(crate) async fn user(&self, id: &str) -> Result<Option<User>, Failure> {
        self.caller.check_known()?;
        self.wanted(id, |waiting| &mut waiting.users).await
    }

    /// A product, for sale or not, if there is one.
    pub(crate) async fn product(&self, id: &str) -> Result<Option<Product>, Failure> {
        self.wanted(id, |waiting| &mut waiting.products).await
    }

    /// A page of the orders of this user.
    pub(crate) async fn orders_of(&self, user: &str, part: Part) -> Result<Option<Arc<Page<Order>>>, Failure> {
        self.caller.check_known()?;
        self.wanted(user, |waiting| waiting.orders.entry(part.clone()).or_default()).await
    }

    /// What was found of orders is no longer so.
    pub(crate) fn forget_orders(&self) {
        self.waiting().orders.clear();
    }

    async fn wanted<T: Clone>(
        &self,
        id: &str,
        of: impl Fn(&mut Waiting) -> &mut Wanted<T>,
    ) -> Result<Option<T>, Failure> {
        check_id(id)?;
        poll_fn(|context| {
            let mut waiting = self.waiting();
            let kind = of(&mut waiting);
            if let Some(found) = kind.found.get(id) {
                return Poll::Ready(found.clone());
            }
            kind.ids.insert(id.to_owned());
            waiting.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Looks up all that is wanted, and wakes who waits for it.
    fn look_up(&self) {
        let (users, products, orders) = {
            let mut waiting = self.waiting();
            let orders =
                waiting.orders.iter_mut().map(|(part, wanted)| (part.clone(), std::mem::take(&mut wanted.ids)));
            let orders: Vec<_> = orders.filter(|(_, ids)| !ids.is_empty()).collect();
            (std::mem::take(&mut waiting.users.ids), std::mem::take(&mut waiting.products.ids), orders)
        };
        let users = self.find_users(users);
        let products =
            self.find(CATALOG, products, BATCH, "ids", "", |page| by_id(page, |product: &Product| &product.id));
        let orders: Vec<_> = orders.into_iter().map(|(part, ids)| (self.find_orders(&part, ids), part)).collect();
        let mut waiting = self.waiting();
        waiting.users.found.extend(users);
        waiting.products.found.extend(products);
        for (found, part) in orders {
            waiting.orders.entry(part).or_default().found.extend(found);
        }
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The same part of the orders of many users.
    fn find_orders(&self, part: &Part, users: BTreeSet<String>) -> Vec<Found<Arc<Page<Order>>>> {
        let batch = ORDERS_AT_ONCE.checked_div(part.first).unwrap_or(1).clamp(1, BATCH);
        let mut more = form_urlencoded::Serializer::new(String::new());
        more.append_pair("limit", &part.first.to_string());
        if let Some(status) = part.status {
            more.append_pair("status", status.name());
        }
        if let Some(after) = &part.after {
            more.append_pair("after", after);
        }
        let more = format!("&{}", more.finish());
        self.find(ORDERS, users, batch, "userIds", &more, by_user)
    }

    /// Only those who may see all users may ask for many; anybody else for itself.
    fn find_users(&self, ids: BTreeSet<String>) -> Vec<Found<User>> {
        match &self.caller {
            caller if caller.sees_all_users() => {
                self.find(USERS, ids, BATCH, "ids", "", |page| by_id(page, |user: &User| &user.id))
            }
            Caller::User { id: own, .. } => {
                let one = |id: String| {
                    let found = if id == *own {
                        self.get(USERS, &format!("/{id}")).map(Some).or_else(none_if_not_found)
                    } else {
                        Err(Failure::new("FORBIDDEN", 403, "this is for the user and for administrators"))
                    };
                    (id, found)
                };
                ids.into_iter().map(one).collect()
            }
            Caller::Anonymous | Caller::Inside => Vec::new(),
        }
    }

    /// Asks a service for all of these, at most `batch` at once: `by` is its parameter for them.
    fn find<A: DeserializeOwned, T>(
        &self,
        service: &'static str,
        ids: BTreeSet<String>,
        batch: usize,
        by: &str,
        more: &str,
        sort: impl Fn(A) -> BTreeMap<String, T>,
    ) -> Vec<Found<T>> {
        let ids: Vec<_> = ids.into_iter().collect();
        let mut all = Vec::with_capacity(ids.len());
        for part in ids.chunks(batch) {
            let mut answer = self.get(service, &format!("/?{by}={}{more}", part.join(","))).map(&sort);
            let mut of = |wanted: &String| match &mut answer {
                Ok(found) => Ok(found.remove(wanted)),
                Err(failure) => Err(failure.clone()),
            };
            all.extend(part.iter().map(|wanted| (wanted.clone(), of(wanted))));
        }
        all
    }

    /// GET of a path of a service, as the client who asks.
    pub(crate) fn get<T: DeserializeOwned>(&self, service: &'static str, path: &str) -> Result<T, Failure> {
        self.send(service, Call::new(Method::Get, format!("http://{service}.internal{path}")))
    }

    /// Any call to a service, as the client who asks.
    pub(crate) fn send<T: DeserializeOwned>(&self, service: &'static str, call: Call) -> Result<T, Failure> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= MOST_CALLS {
            let message = format!("the query needs more than {MOST_CALLS} questions to other services");
            return Err(Failure::new("QUERY_TOO_EXPENSIVE", 400, message));
        }
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::new("UNAVAILABLE", 504, "there was no time left to ask for this"));
        }
        let identity = self.identity.iter();
        let call = identity.fold(call.timeout(left.min(PATIENCE)), |call, (name, value)| call.header(name, value));
        let answer = call.send().map_err(|error| Failure::called(service, &error))?;
        if !(200..300).contains(&answer.status()) {
            return Err(Failure::answered(service, answer));
        }
        answer.json().map_err(|error| Failure::called(service, &error))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is not there is no failure: the field is null.
pub(crate) fn none_if_not_found<T>(failure: Failure) -> Result<Option<T>, Failure> {
    if failure.is_not_found() { Ok(None) } else { Err(failure) }
}

/// An id becomes part of an address.
pub(crate) fn check_id(id: &str) -> Result<(), Failure> {
    let valid = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid { Ok(()) } else { Err(Failure::input("an id has 1 to 64 letters, digits and hyphens")) }
}

/// Whether something can go on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a query to its end. Nothing if it stands still and waits for nothing that is known here.
pub(crate) fn run<T>(session: &Session, query: impl Future<Output = T>) -> Option<T> {
    let mut query = pin!(query);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = query.as_mut().poll(&mut context) {
            return Some(done);
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            session.look_up();
            if !woken.0.swap(false, Ordering::Relaxed) {
                return None;
            }
        }
    }
}
