//! The shop of `plugins/` for a test: a host of its own, with what the repository has in `gateway-config/`.
//!
//! Ten components take a debug build of the host a minute to compile. So all tests share what was compiled, by copies of
//! the folder in which the host keeps it; they start one after the other, and the first compiles for all. What a host
//! reads there it has written itself, or one that was built and run by the same user.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wharf_demo::books::Books;
use wharf_demo::checks::{self, Promises};
use wharf_demo::folder::Folder;
use wharf_demo::host::Host;
use wharf_demo::http::text;
use wharf_demo::shop::{Person, Product, Shop};
use wharf_demo::wish::{Kind, Mode, Placed, Wish};

use crate::{binary, eventually, root};

/// Compiled components beyond this number are of builds that are no more.
const MOST_COMPILED: usize = 80;
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
        compiled.give(dir.path());
        let host = Host::start(&binary(), folder).await.unwrap_or_else(|trouble| panic!("{trouble}"));
        compiled.take(dir.path());
        drop(compiled);
        let shop = Shop::open(&host).await.unwrap_or_else(|trouble| panic!("{trouble}\n{}", host.last_lines(40)));
        Self { host, shop, promises: Promises::default(), wishes: 0, _dir: dir }
    }

    /// Keeps what was compiled since for the tests that come.
    pub fn keep_compiled(&self) {
        Compiled::lock().take(self.host.folder.dir());
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
        books
    }
}

impl Drop for OpenShop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of wharf:\n{}", self.host.last_lines(80));
        }
    }
}

/// The folder that all tests share; nobody else uses it meanwhile.
struct Compiled {
    dir: PathBuf,
    _lock: File,
}

impl Compiled {
    fn lock() -> Self {
        let dir = binary().with_file_name("shop-compiled");
        let lock = File::create(dir.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        Self { dir, _lock: lock }
    }

    /// Lays a copy of it into a folder of a host that has not been started.
    fn give(&self, dir: &Path) {
        if self.dir.join("secret").is_file() {
            let mut private = DirBuilder::new();
            private.mode(0o700).recursive(true);
            private.create(dir.join("state")).unwrap();
            copy_all(&self.dir, &dir.join("state/compiled"), &private).unwrap();
        }
    }

    /// Takes what a host has compiled.
    fn take(&self, dir: &Path) {
        let compiled = dir.join("state/compiled");
        let secret = |dir: &Path| fs::read(dir.join("secret")).ok();
        let count = fs::read_dir(&self.dir).map_or(0, Iterator::count);
        // Entries are good with their secret only.
        if count > MOST_COMPILED || secret(&compiled) != secret(&self.dir) {
            let _ = fs::remove_dir_all(&self.dir);
        }
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        copy_all(&compiled, &self.dir, &private).unwrap();
    }
}

/// Files that are there already stay.
fn copy_all(from: &Path, to: &Path, private: &DirBuilder) -> io::Result<()> {
    private.create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if !entry.file_name().to_string_lossy().starts_with('.') && !copy.exists() {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}
