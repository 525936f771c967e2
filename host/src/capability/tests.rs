//! The interfaces inside wasmtime: what the linker has, and a component that uses it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::interfaces::{HOST_INTERFACES, explain};
use super::{CapabilityCtx, CapabilityView, GuestLog, HasCapabilities, ServiceCapabilities, Values, add_to_linker};
use crate::state::KeyValueEngine;
use crate::state::sqlite::SqliteState;

/// A service `orders` with state of its own, and one slot of it.
pub(super) struct Fixture {
    pub(super) root: TempDir,
    pub(super) service: Arc<ServiceCapabilities>,
    pub(super) slot: Slot,
}

/// The data of a store.
pub(super) struct Slot {
    pub(super) ctx: CapabilityCtx,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
}

impl Slot {
    pub(super) fn new(service: &Arc<ServiceCapabilities>) -> Self {
        let ctx = CapabilityCtx::new(Arc::clone(service), "request-1".into());
        let wasi = WasiCtxBuilder::new().stdout(ctx.stdout()).stderr(ctx.stderr()).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(4096);
        Self { ctx, table, wasi }
    }
}

impl HasCapabilities for Slot {
    fn capabilities(&mut self) -> CapabilityView<'_> {
        CapabilityView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

impl WasiView for Slot {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

pub(super) fn fixture(quota: u64) -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let store = SqliteState::new(root.path()).store("orders", quota);
    let config = BTreeMap::from([("currency".to_owned(), "EUR".to_owned()), ("empty".to_owned(), String::new())]);
    let log = GuestLog::new("orders", "1.0.0", 1 << 20);
    let service = Arc::new(ServiceCapabilities::new("orders", Some(store), config.into(), log));
    let slot = Slot::new(&service);
    Fixture { root, service, slot }
}

/// What reached the log, as `LEVEL stream request context: message`.
#[derive(Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<String>>>);

impl Captured {
    /// Captures what this thread logs for guests until the guard is dropped.
    pub(super) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let captured = Self::default();
        let subscriber = tracing_subscriber::registry().with(captured.clone());
        (captured, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        #[derive(Default)]
        struct Fields(BTreeMap<&'static str, String>);
        impl Visit for Fields {
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.insert(field.name(), value.to_owned());
            }
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
        }
        if event.metadata().target() != "guest" {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let field = |name| fields.0.get(name).map_or("-", String::as_str);
        assert_eq!(field("service"), "orders");
        self.0.lock().unwrap().push(format!(
            "{} {} {} {}: {}",
            event.metadata().level(),
            field("stream"),
            field("request_id"),
            field("context"),
            field("message"),
        ));
    }
}

fn engine() -> Engine {
    Engine::new(Config::new().wasm_component_model_async(true)).unwrap()
}

/// A linker as the host makes it, with everything in it.
fn full_linker(engine: &Engine) -> Linker<WithHttp> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    add_to_linker(&mut linker).unwrap();
    linker
}

/// Never made: linking only needs the type.
struct WithHttp {
    slot: Slot,
}

impl HasCapabilities for WithHttp {
    fn capabilities(&mut self) -> CapabilityView<'_> {
        self.slot.capabilities()
    }
}

impl WasiView for WithHttp {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiView::ctx(&mut self.slot)
    }
}

impl wasmtime_wasi_http::WasiHttpView for WithHttp {
    fn http(&mut self) -> wasmtime_wasi_http::WasiHttpCtxView<'_> {
        unreachable!("nothing is instantiated")
    }
}

/// One item of every interface that has one. An instance that is imported without items always links.
const ITEMS: &[(&str, &str)] = &[
    ("wasi:cli/environment@0.2.12", "get-environment"),
    ("wasi:cli/environment@0.3.0", "get-environment"),
    ("wasi:cli/exit@0.2.12", "exit"),
    ("wasi:cli/exit@0.3.0", "exit"),
    ("wasi:cli/stderr@0.2.12", "get-stderr"),
    ("wasi:cli/stderr@0.3.0", "write-via-stream"),
    ("wasi:cli/stdin@0.2.12", "get-stdin"),
    ("wasi:cli/stdin@0.3.0", "read-via-stream"),
    ("wasi:cli/stdout@0.2.12", "get-stdout"),
    ("wasi:cli/stdout@0.3.0", "write-via-stream"),
    ("wasi:cli/terminal-input@0.2.12", "resource terminal-input"),
    ("wasi:cli/terminal-input@0.3.0", "resource terminal-input"),
    ("wasi:cli/terminal-output@0.2.12", "resource terminal-output"),
    ("wasi:cli/terminal-output@0.3.0", "resource terminal-output"),
    ("wasi:cli/terminal-stderr@0.2.12", "get-terminal-stderr"),
    ("wasi:cli/terminal-stderr@0.3.0", "get-terminal-stderr"),
    ("wasi:cli/terminal-stdin@0.2.12", "get-terminal-stdin"),
    ("wasi:cli/terminal-stdin@0.3.0", "get-terminal-stdin"),
    ("wasi:cli/terminal-stdout@0.2.12", "get-terminal-stdout"),
    ("wasi:cli/terminal-stdout@0.3.0", "get-terminal-stdout"),
    ("wasi:clocks/monotonic-clock@0.2.12", "now"),
    ("wasi:clocks/monotonic-clock@0.3.0", "now"),
    ("wasi:clocks/system-clock@0.3.0", "now"),
    ("wasi:clocks/wall-clock@0.2.12", "now"),
    ("wasi:config/store@0.2.0-draft-2024-09-27", "get-all"),
    ("wasi:config/store@0.2.0-rc.1", "get-all"),
    ("wasi:filesystem/preopens@0.2.12", "get-directories"),
    ("wasi:filesystem/preopens@0.3.0", "get-directories"),
    ("wasi:filesystem/types@0.2.12", "filesystem-error-code"),
    ("wasi:filesystem/types@0.3.0", "resource descriptor"),
    ("wasi:http/client@0.3.0", "send"),
    ("wasi:http/outgoing-handler@0.2.12", "handle"),
    ("wasi:http/types@0.2.12", "http-error-code"),
    ("wasi:http/types@0.3.0", "resource fields"),
    ("wasi:io/error@0.2.12", "resource error"),
    ("wasi:io/poll@0.2.12", "poll"),
    ("wasi:io/streams@0.2.12", "resource input-stream"),
    ("wasi:keyvalue/atomics@0.2.0-draft", "increment"),
    ("wasi:keyvalue/atomics@0.2.0-draft2", "swap"),
    ("wasi:keyvalue/batch@0.2.0-draft", "get-many"),
    ("wasi:keyvalue/batch@0.2.0-draft2", "get-many"),
    ("wasi:keyvalue/store@0.2.0-draft", "open"),
    ("wasi:keyvalue/store@0.2.0-draft2", "resource bucket"),
    ("wasi:logging/logging@0.1.0-draft", "log"),
    ("wasi:random/insecure@0.2.12", "get-insecure-random-bytes"),
    ("wasi:random/insecure@0.3.0", "get-insecure-random-bytes"),
    ("wasi:random/insecure-seed@0.2.12", "insecure-seed"),
    ("wasi:random/insecure-seed@0.3.0", "get-insecure-seed"),
    ("wasi:random/random@0.2.12", "get-random-bytes"),
    ("wasi:random/random@0.3.0", "get-random-bytes"),
    ("wasi:sockets/instance-network@0.2.12", "instance-network"),
    ("wasi:sockets/ip-name-lookup@0.2.12", "resolve-addresses"),
    ("wasi:sockets/ip-name-lookup@0.3.0", "resolve-addresses"),
    ("wasi:sockets/network@0.2.12", "resource network"),
    ("wasi:sockets/tcp@0.2.12", "resource tcp-socket"),
    ("wasi:sockets/tcp-create-socket@0.2.12", "create-tcp-socket"),
    ("wasi:sockets/types@0.3.0", "resource tcp-socket"),
    ("wasi:sockets/udp@0.2.12", "resource udp-socket"),
    ("wasi:sockets/udp-create-socket@0.2.12", "create-udp-socket"),
    ("wharf:service/events@0.1.0", "publish"),
    ("wharf:service/queues@0.1.0", "receive"),
    ("wharf:service/expiry@0.1.0", "remaining"),
    ("wharf:service/sql@0.1.0", "execute"),
];
/// Interfaces with nothing but plain types; there is nothing that a linker could lack.
const PLAIN_TYPES: &[&str] = &["wasi:cli/types@0.3.0", "wasi:clocks/types@0.3.0"];

/// Whether the linker has this item of the import. The type of a function is not given here, so a linker that has it may
/// complain about that, but not that it is missing.
fn has(linker: &Linker<WithHttp>, import: &str, item: &str) -> bool {
    let export = match item.strip_prefix("resource ") {
        Some(resource) => format!(r#"(export "{resource}" (type (sub resource)))"#),
        None => format!(r#"(export "{item}" (func))"#),
    };
    let text = format!(r#"(component (import "{import}" (instance {export})))"#);
    let component = Component::new(linker.engine(), wat::parse_str(text).unwrap()).unwrap();
    match linker.instantiate_pre(&component) {
        Ok(_) => true,
        Err(error) => !format!("{error:#}").contains("implementation is missing"),
    }
}

#[test]
fn the_table_of_interfaces_says_what_the_linker_has() {
    let linker = full_linker(&engine());
    let table = HOST_INTERFACES
        .iter()
        .flat_map(|interface| interface.versions.iter().map(|version| format!("{}@{version}", interface.name)));
    for import in table.filter(|import| !PLAIN_TYPES.contains(&import.as_str())) {
        assert!(ITEMS.iter().any(|(name, _)| *name == import), "{import} is not checked");
    }
    for (import, item) in ITEMS {
        assert!(has(&linker, import, item), "{import} is in the table and not in the linker");
        assert!(explain(import).is_provided(), "{import} is in the linker and not in the table");
        let (name, _) = import.split_once('@').unwrap();
        for version in ["0.1.0", "0.2.0-rc.2", "0.2.0-draft3", "0.3.0-rc.1", "0.4.0", "1.0.0"] {
            let other = format!("{name}@{version}");
            if other == *import {
                continue;
            }
            assert!(!has(&linker, &other, item) && !explain(&other).is_provided(), "{other}");
        }
    }
    // Releases of a line, older and newer.
    for (import, item) in [("wasi:cli/environment", "get-environment"), ("wasi:keyvalue/store", "open")] {
        for version in ["0.2.0", "0.2.6", "0.2.99", "0.3.1"] {
            let import = format!("{import}@{version}");
            assert_eq!(has(&linker, &import, item), explain(&import).is_provided(), "{import}");
        }
    }
    for (import, item) in [
        ("wasi:clocks/timezone@0.2.12", "display"),
        ("wasi:clocks/timezone@0.3.0", "iana-id"),
        ("wasi:http/incoming-handler@0.2.12", "handle"),
        ("wasi:http/handler@0.3.0", "handle"),
        ("wasi:keyvalue/watcher@0.2.0-draft", "on-set"),
        ("wasi:nn/graph@0.2.0", "load"),
    ] {
        assert!(!has(&linker, import, item) && !explain(import).is_provided(), "{import}");
    }
}

/// Opens the store, writes and reads back; returns 0, or the number of the step that failed.
const GUEST: &str = r#"
(component
  (import "wasi:keyvalue/store@VERSION" (instance $store
    (export "bucket" (type $bucket (sub resource)))
    (type $error-type (variant (case "no-such-store") (case "access-denied") (case "other" string)))
    (export "error" (type $error (eq $error-type)))
    (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
    (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
      (param "value" (list u8)) (result (result (error $error)))))
    (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
      (result (result (option (list u8)) (error $error)))))))
  (alias export $store "bucket" (type $bucket))
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "defaultkey\00\01\ff")
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      global.get $next
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $open (canon lower (func $store "open") (memory $mem) (realloc $realloc)))
  (core func $set (canon lower (func $store "[method]bucket.set") (memory $mem) (realloc $realloc)))
  (core func $get (canon lower (func $store "[method]bucket.get") (memory $mem) (realloc $realloc)))
  (core func $drop (canon resource.drop $bucket))
  (core module $main
    (import "m" "memory" (memory 1))
    (import "m" "open" (func $open (param i32 i32 i32)))
    (import "m" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "m" "get" (func $get (param i32 i32 i32 i32)))
    (import "m" "drop" (func $drop (param i32)))
    (func (export "run") (result i32)
      (local $bucket i32)
      (call $open (i32.const 0) (i32.const 7) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (return (i32.const 1))))
      (local.set $bucket (i32.load (i32.const 68)))
      (call $set (local.get $bucket) (i32.const 7) (i32.const 3) (i32.const 10) (i32.const 3) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (return (i32.const 2))))
      (call $get (local.get $bucket) (i32.const 7) (i32.const 3) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then (return (i32.const 3))))
      (if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1)) (then (return (i32.const 4))))
      (if (i32.ne (i32.load (i32.const 76)) (i32.const 3)) (then (return (i32.const 5))))
      (if (i32.ne (i32.load8_u offset=2 (i32.load (i32.const 72))) (i32.const 255)) (then (return (i32.const 6))))
      (call $drop (local.get $bucket))
      (i32.const 0)))
  (core instance $main (instantiate $main (with "m" (instance
    (export "memory" (memory $mem)) (export "open" (func $open)) (export "set" (func $set))
    (export "get" (func $get)) (export "drop" (func $drop))))))
  (func (export "run") (result u32) (canon lift (core func $main "run"))))
"#;

async fn run_guest(version: &str, slot: Slot) -> u32 {
    let engine = engine();
    let mut linker = Linker::<Slot>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    add_to_linker(&mut linker).unwrap();
    let component = Component::new(&engine, wat::parse_str(GUEST.replace("VERSION", version)).unwrap()).unwrap();
    let mut store = Store::new(&engine, slot);
    let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run").unwrap();
    let (step,) = run.call_async(&mut store, ()).await.unwrap();
    assert!(step > 0 || store.data().table.is_empty(), "the dropped handle is gone");
    step
}

#[tokio::test]
async fn a_component_keeps_data_through_either_draft() {
    let Fixture { root, service, slot } = fixture(1 << 20);
    for version in ["0.2.0-draft", "0.2.0-draft2"] {
        assert_eq!(run_guest(version, Slot::new(&service)).await, 0, "{version}");
    }
    drop((slot, service));
    let store = SqliteState::new(root.path()).store("orders", 1 << 20);
    assert_eq!(store.get("key".to_owned()).await.unwrap().unwrap().value, [0, 1, 255]);
}

#[tokio::test]
async fn a_component_without_a_grant_or_with_a_full_store_gets_an_error_and_no_trap() {
    let Fixture { service, .. } = fixture(5);
    assert_eq!(run_guest("0.2.0-draft", Slot::new(&service)).await, 2, "key and value need six bytes");
    let log = service.log().clone();
    let denied = Arc::new(ServiceCapabilities::new("orders", None, Default::default(), log));
    assert_eq!(run_guest("0.2.0-draft2", Slot::new(&denied)).await, 1);
}

#[test]
fn configuration_is_read_in_both_versions_and_changes_live() {
    use super::bindings::{config_draft, config_rc1};
    let Fixture { service, mut slot, .. } = fixture(0);
    let other_version = service.for_version("2.0.0");
    let all = |slot: &mut Slot| config_rc1::wasi::config::store::Host::get_all(&mut slot.capabilities()).unwrap();
    let rc1 = |slot: &mut Slot, key: &str| {
        config_rc1::wasi::config::store::Host::get(&mut slot.capabilities(), key.to_owned()).unwrap()
    };
    let draft = |slot: &mut Slot, key: &str| {
        config_draft::wasi::config::store::Host::get(&mut slot.capabilities(), key.to_owned()).unwrap()
    };
    for (key, value) in [("currency", Some("EUR")), ("empty", Some("")), ("Currency", None), ("", None)] {
        assert_eq!(rc1(&mut slot, key).as_deref(), value, "{key}");
        assert_eq!(draft(&mut slot, key).as_deref(), value, "{key}");
    }
    assert_eq!(all(&mut slot).len(), 2);
    assert_eq!(config_draft::wasi::config::store::Host::get_all(&mut slot.capabilities()).unwrap(), all(&mut slot));

    other_version.set_config(BTreeMap::from([("currency".to_owned(), "CHF".to_owned())]).into());
    assert_eq!(rc1(&mut slot, "currency").as_deref(), Some("CHF"));
    assert_eq!(all(&mut slot).len(), 1);

    let mut values = Values::from(BTreeMap::from([("currency".to_owned(), "EUR".to_owned())]));
    let own = [("currency", "USD"), ("only", "here")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    values.versions.insert("2.0.0".to_owned(), BTreeMap::from(own.clone()));
    service.set_config(values);
    let mut second = Slot::new(&Arc::new(other_version));
    for (slot, currency, only) in [(&mut slot, "EUR", None), (&mut second, "USD", Some("here"))] {
        assert_eq!((rc1(slot, "currency").as_deref(), rc1(slot, "only").as_deref()), (Some(currency), only));
        assert_eq!((draft(slot, "currency").as_deref(), draft(slot, "only").as_deref()), (Some(currency), only));
    }
    assert_eq!(all(&mut slot), [("currency".to_owned(), "EUR".to_owned())]);
    assert_eq!(all(&mut second), own);
}

#[test]
fn a_secret_of_the_service_never_reaches_its_log() {
    use super::bindings::logging::wasi::logging::logging::{Host, Level};
    use wasmtime_wasi::cli::StdoutStream;

    const SECRET: &str = "tok_live_1234567890";
    let (captured, _guard) = Captured::start();
    let Fixture { service, mut slot, .. } = fixture(0);
    let with = |secrets: &[&str]| Values {
        secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
        ..Values::default()
    };
    service.set_config(with(&[SECRET]));
    let tail = slot.ctx.stderr_tail();
    slot.capabilities().log(Level::Info, format!("of {SECRET}"), format!("a {SECRET} b"));
    slot.capabilities().log(Level::Info, String::new(), format!("{}{SECRET}", "x".repeat(8 * 1024 - 10)));
    slot.ctx.stdout().p2_stream().write("key=tok_live_".into()).unwrap();
    slot.ctx.stdout().p2_stream().write("1234567890\n".into()).unwrap();
    slot.ctx.stderr().p2_stream().write(format!("panic: {SECRET}\n").into()).unwrap();
    assert_eq!(tail.panic_message().as_deref(), Some("panic: [redacted]"));
    slot.ctx.stderr().p2_stream().write(format!("{SECRET}{}", "y".repeat(2048 - 12)).into()).unwrap();
    assert!(tail.text().starts_with("[redacted]yyy"), "{}", &tail.text()[..40]);
    slot.ctx.begin_request("request-2".into());
    // After a change the old one is kept out, too: a request in flight may still have it.
    service.set_config(with(&["another_secret"]));
    service.set_config(with(&["another_secret"]));
    slot.capabilities().log(Level::Info, String::new(), format!("{SECRET} another_secret"));

    let lines = captured.lines();
    assert!(lines.iter().all(|line| !line.contains("tok_") && !line.contains("another")), "{lines:#?}");
    assert_eq!(lines[0], "INFO logging request-1 of [redacted]: a [redacted] b");
    assert!(lines[1].ends_with("x[redacted] [line was cut here]"), "{}", &lines[1][8000..]);
    assert_eq!(lines[2], "INFO stdout request-1 -: key=[redacted]");
    assert_eq!(lines.last().unwrap(), "INFO logging request-2 -: [redacted] [redacted]");
    assert!(!format!("{service:?}{:?}", service.log()).contains("tok_live"));
}

#[test]
fn log_records_keep_their_level_and_stay_one_line() {
    use super::bindings::logging::wasi::logging::logging::{Host, Level};
    let (captured, _guard) = Captured::start();
    let Fixture { mut slot, .. } = fixture(0);
    let mut view = slot.capabilities();
    view.log(Level::Info, "cart".to_owned(), "two\nlines \x1b[31m".to_owned());
    view.log(Level::Critical, String::new(), "fire".to_owned());
    view.log(Level::Warn, "c".repeat(100_000), "m".repeat(100_000));
    slot.ctx.begin_request("request-2".into());
    slot.capabilities().log(Level::Debug, String::new(), "detail".to_owned());
    let lines = captured.lines();
    assert_eq!(lines[0], "INFO logging request-1 cart: two\\nlines \\u{1b}[31m");
    assert_eq!(lines[1], "ERROR logging request-1 -: fire");
    assert!(lines[2].starts_with("WARN logging request-1 ccc") && lines[2].len() < 9000, "{}", lines[2].len());
    assert_eq!(lines[3], "DEBUG logging request-2 -: detail");
    assert_eq!(lines.len(), 4);
}
