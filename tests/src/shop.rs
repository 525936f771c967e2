//! The shop of `plugins/` for a test: a host of its own, with what the repository has in `gateway-config/`.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wharf_demo::books::Books;
use wharf_demo::checks::{self, Promises};
use wharf_demo::contract;
use wharf_demo::folder::Folder;
use wharf_demo::host::Host;
use wharf_demo::http::text;
use wharf_demo::shop::{Person, Product, Shop};
use wharf_demo::wish::{Kind, Mode, Placed, Wish};

use crate::{Compiled, binary, eventually, root};

/// Customers of a test are patient: a start of the host, and a sweep, are in it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A shop that is open. The host ends with it.
#[derive(Debug)]
pub struct OpenShop {
    /// The process and its folders.
    pub host: Host,
    /// Its routes.
    pub shop: Shop,
    /// What the books have to know.
    pub promises: Promises,
    /// Whether the test's own clients send what no document describes.
    pub sends_nonsense: bool,
    wishes: usize,
    _dir: TempDir,
}

impl OpenShop {
    /// A shop whose orders may be pending for `saga_timeout`, with nothing in its shelves.
    pub async fn open(saga_timeout: &str) -> Self {
        Self::open_with(saga_timeout, |_| {}).await
    }

    /// The same, with something more in its folders.
    pub async fn open_with(saga_timeout: &str, prepare: impl FnOnce(&mut Folder)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::lay_out(dir.path(), &root(), false).unwrap();
        folder.set(&["services", "orders", "config", "saga-timeout"], json!(saga_timeout)).unwrap();
        prepare(&mut folder);
        let compiled = Compiled::lock();
        compiled.give(&dir.path().join("state"));
        let host = Host::start(&binary(), folder).await.unwrap_or_else(|trouble| panic!("{trouble}"));
        compiled.take(&dir.path().join("state"));
        drop(compiled);
        let shop = Shop::open(&host).await.unwrap_or_else(|trouble| panic!("{trouble}\n{}", host.last_lines(40)));
        Self { host, shop, promises: Promises::default(), sends_nonsense: false, wishes: 0, _dir: dir }
    }

    /// Keeps what was compiled since for the tests that come.
    pub fn keep_compiled(&self) {
        Compiled::lock().take(&self.host.folder.dir().join("state"));
    }

    /// Takes a service of the shop away; its component, for when it is to come back.
    pub async fn take_away(&self, service: &str) -> Vec<u8> {
        let component = self.host.folder.component(service).unwrap();
        self.host.folder.remove(service).unwrap();
        let path = self.health(service);
        eventually(&format!("{service} is gone"), async || {
            (self.shop.gateway.get(&path).send().await.unwrap().status != 200).then_some(())
        })
        .await;
        component
    }

    /// The path at which a service of the shop says how it is.
    pub fn health(&self, service: &str) -> String {
        match service {
            "catalog" => "/api/products/health".to_owned(),
            "bank" => "/bank/health".to_owned(),
            service => format!("/api/{service}/health"),
        }
    }

    /// Something new in the shelves.
    pub async fn product(&mut self, name: &'static str, price: i64, stock: i64) -> Product {
        let product = self.shop.product(name, price, stock).await.unwrap();
        self.promises.stock.insert(product.id.clone(), stock);
        product
    }

    /// Somebody with a token.
    pub async fn person(&self, name: &str) -> Person {
        self.shop.person(name).await.unwrap()
    }

    /// A wish for something, with a key that no other has.
    pub fn wish(&mut self, mode: Mode, kind: Kind, product: &Product, quantity: i64) -> Wish {
        self.wishes += 1;
        self.promises.wishes += 1;
        let items = vec![(product.id.clone(), quantity)];
        Wish { key: format!("wish-{}", self.wishes), mode, kind, items, currency: "EUR", coupon: None }
    }

    /// Asks for it until there is an answer that counts, and remembers what was promised.
    pub async fn place(&mut self, person: &Person, wish: &Wish) -> Placed {
        let placed = self.shop.place(person, wish, PATIENCE).await.unwrap();
        self.promise(wish, &placed);
        placed
    }

    /// Remembers what was promised.
    pub fn promise(&mut self, wish: &Wish, placed: &Placed) {
        let Some(order) = &placed.order else { return };
        self.promises.orders.insert(order.clone(), wish.kind.is_hopeless());
        if placed.status == 201 {
            self.promises.sent.insert(order.clone());
        }
    }

    /// An order, as the administrator sees it.
    pub async fn order(&self, id: &str) -> Value {
        self.shop.read(&format!("/api/orders/{id}")).await.unwrap()
    }

    /// The states that an order went through.
    pub async fn history(&self, id: &str) -> Vec<String> {
        let history = self.shop.read(&format!("/api/orders/{id}/history")).await.unwrap();
        history["items"].as_array().unwrap().iter().map(|event| text(event, "event")).collect()
    }

    /// An order as soon as it is in this state.
    pub async fn becomes(&self, id: &str, status: &str) -> Value {
        crate::within(PATIENCE, &format!("order {id} is {status}"), async || {
            let order = self.order(id).await;
            (order["status"] == status).then_some(order)
        })
        .await
    }

    /// The books when nothing goes on any more. Whatever happened, they are right.
    pub async fn books(&mut self) -> Books {
        self.host.check().unwrap();
        let books = Books::settled(&self.shop, PATIENCE).await.unwrap_or_else(|trouble| panic!("{trouble}"));
        let broken = checks::broken(&checks::all(&books, &self.promises));
        assert!(broken.is_empty(), "{}\n{books:#?}", broken.join("\n"));
        self.assert_as_described().await;
        books
    }

    /// All messages are as the documents of the services describe them. The books say so, too.
    pub async fn assert_as_described(&self) {
        let told = self.broken_promises().await;
        assert!(told.is_empty(), "messages are not as the services describe them:\n{}", told.join("\n"));
    }

    /// What was not as the documents of the services describe it. Of a test that sends nonsense, what services answered.
    pub async fn broken_promises(&self) -> Vec<String> {
        let broken = contract::broken(&self.host).await.unwrap();
        let counts = broken.into_iter().filter(|one| one.by_service || !self.sends_nonsense);
        counts.map(|one| one.told).collect()
    }
}

impl Drop for OpenShop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of wharf:\n{}", self.host.last_lines(80));
        }
    }
}
