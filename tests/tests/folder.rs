//! The folder of components and the cache of compiled code, as somebody who copies files sees them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests, and what they measured"
)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use wharf_tests::{Wharf, eventually, guest, versioned, within};

fn marker(n: u64) -> String {
    format!("version-marker-{n:09}")
}

async fn serves(wharf: &Wharf, n: u64) {
    within(Duration::from_secs(20), "the version serves", async || {
        (wharf.get("/versioned/").await.header("x-version") == marker(n)).then_some(())
    })
    .await;
}

fn never_rejected(wharf: &Wharf) {
    let log = wharf.log();
    let bad: Vec<_> = log.iter().filter(|line| line.contains("rejected") || line.contains("not a service")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// A component that takes long to compile: a module that nobody uses lies in it, with many functions of this number.
fn heavy(functions: u32, constant: u8) -> Vec<u8> {
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id], &*leb128(content.len()), content].concat()
    }
    fn leb128(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let digit = (value & 0x7f) as u8;
            value >>= 7;
            bytes.push(if value == 0 { digit } else { digit | 0x80 });
            if value == 0 {
                return bytes;
            }
        }
    }
    // (func (param i32) (result i32) local.get 0, then again and again: i32.const C, i32.mul, local.get 0, i32.xor)
    let step = [0x41, constant & 0x3f, 0x6c, 0x20, 0, 0x73];
    let body = [&[0, 0x20, 0][..], &step.repeat(200), &[0x0b]].concat();
    let body = [leb128(body.len()), body].concat();
    let count = leb128(functions as usize);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &[count.clone(), vec![0; functions as usize]].concat()),
        section(10, &[count, body.repeat(functions as usize)].concat()),
    ]
    .concat();
    [guest("versioned"), section(1, &module)].concat()
}

#[tokio::test]
async fn a_component_that_is_copied_in_answers_within_a_second() {
    let wharf = Wharf::builder().start().await;
    let mut best = Duration::MAX;
    for n in 0..3 {
        let wasm = versioned(&marker(n));
        let copied = Instant::now();
        fs::write(wharf.plugin_path(&format!("dropped-{n}.wasm")), wasm).unwrap();
        within(Duration::from_secs(20), "it answers", async || {
            (wharf.get(&format!("/dropped-{n}/")).await.header("x-version") == marker(n)).then_some(())
        })
        .await;
        best = best.min(copied.elapsed());
    }
    println!("a copied component answered after {best:?}");
    // A second is what an optimised host keeps; the compiler of a dev build is slower.
    assert!(best < Duration::from_secs(3), "{best:?}");
}

#[tokio::test]
async fn a_file_that_is_overwritten_in_slow_pieces_is_never_taken_half() {
    let wharf = Wharf::builder().file("versioned", &versioned(&marker(1))).start().await;
    let answers = async |allowed: &[u64]| {
        let answer = wharf.get("/versioned/").await;
        answer.assert_status(200);
        let version = answer.header("x-version").to_owned();
        assert!(allowed.iter().any(|n| version == marker(*n)), "{version}");
        assert_eq!(wharf.states("versioned").await.iter().filter(|state| state.contains("rejected")).count(), 0);
    };

    // By one writer, as `cp` does.
    let wasm = versioned(&marker(2));
    let mut file = File::create(wharf.plugin_path("versioned.wasm")).unwrap();
    for piece in wasm.chunks(wasm.len() / 9) {
        file.write_all(piece).unwrap();
        answers(&[1, 2]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(file);
    serves(&wharf, 2).await;

    // By one that closes the file after each piece, and pauses.
    let wasm = versioned(&marker(3));
    fs::write(wharf.plugin_path("versioned.wasm"), []).unwrap();
    for piece in wasm.chunks(wasm.len() / 5) {
        let mut file = OpenOptions::new().append(true).open(wharf.plugin_path("versioned.wasm")).unwrap();
        file.write_all(piece).unwrap();
        drop(file);
        answers(&[2, 3]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    serves(&wharf, 3).await;
    never_rejected(&wharf);
    let upgrades = wharf.log().iter().filter(|line| line.contains("\"upgraded\"")).count();
    assert_eq!(upgrades, 2, "one load for each change");
}

#[tokio::test]
async fn renames_and_links_bring_the_new_content() {
    let builder = Wharf::builder();
    let releases = builder.dir().join("releases");
    fs::create_dir(&releases).unwrap();
    for n in 1..=4 {
        fs::write(releases.join(format!("{n}.wasm")), versioned(&marker(n))).unwrap();
    }
    let plugins = builder.dir().join("plugins");
    let link = |target: &Path, name: &str| {
        let hidden = plugins.join(".link");
        symlink(target, &hidden).unwrap();
        fs::rename(hidden, plugins.join(name)).unwrap();
    };
    link(&releases.join("1.wasm"), "versioned.wasm");
    let wharf = builder.start().await;
    serves(&wharf, 1).await;

    link(&releases.join("2.wasm"), "versioned.wasm");
    serves(&wharf, 2).await;

    // `mv` over the link.
    wharf.install("versioned.wasm", &versioned(&marker(3)));
    serves(&wharf, 3).await;

    // As Kubernetes mounts volumes: the name is a link through a link to a directory, and that one is swapped.
    for (directory, n) in [("..first", 4), ("..second", 5)] {
        fs::create_dir(plugins.join(directory)).unwrap();
        fs::write(plugins.join(directory).join("versioned.wasm"), versioned(&marker(n))).unwrap();
    }
    link(Path::new("..first"), "..data");
    link(Path::new("..data/versioned.wasm"), "versioned.wasm");
    serves(&wharf, 4).await;
    link(Path::new("..second"), "..data");
    serves(&wharf, 5).await;
    never_rejected(&wharf);
}

#[tokio::test]
async fn touching_or_writing_the_same_again_does_nothing() {
    let wharf = Wharf::builder().file("versioned", &versioned(&marker(1))).start().await;
    let before = wharf.versions("versioned").await;
    let path = wharf.plugin_path("versioned.wasm");
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
    fs::write(&path, versioned(&marker(1))).unwrap();
    wharf.install("versioned.wasm", &versioned(&marker(1)));
    // By then the folder was looked at.
    wharf.install("other.wasm", &versioned(&marker(2)));
    eventually("the other one serves", async || (wharf.get("/other/").await.status == 200).then_some(())).await;
    assert_eq!(wharf.versions("versioned").await, before);
    let loads = wharf.log().iter().filter(|line| line.contains("versioned.wasm")).count();
    assert_eq!(loads, 1, "{:?}", wharf.log());
}

#[tokio::test]
async fn files_that_are_no_service_are_refused_with_a_reason_and_do_not_keep_it_from_being_ready() {
    let builder = Wharf::builder().plugin("versioned");
    let plugins = builder.dir().join("plugins");
    let component = guest("versioned");
    for name in ["Orders.wasm", "orders@.wasm", ".hidden.wasm", "notes.txt"] {
        fs::write(plugins.join(name), &component).unwrap();
    }
    fs::write(plugins.join("text.wasm"), "no wasm").unwrap();
    fs::write(plugins.join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::create_dir(plugins.join("folder.wasm")).unwrap();
    symlink("nowhere", plugins.join("link.wasm")).unwrap();
    let wharf = builder.start().await;
    wharf.admin_get("/readyz").await.assert_status(200);
    wharf.get("/versioned/").await.assert_status(200);

    let list = wharf.admin_get("/api/services").await.json();
    let refused: Vec<_> = list["refused"].as_array().unwrap().iter().collect();
    let files: Vec<_> = refused.iter().map(|refused| refused["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["Orders.wasm", "folder.wasm", "link.wasm", "orders@.wasm", "text.wasm"]);
    for (at, words) in
        ["`Orders` is no service name", "is a directory", "nowhere", "no version label", "not WebAssembly"]
            .into_iter()
            .enumerate()
    {
        let reason = refused[at]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{}: {reason}", files[at]);
        wharf.logged(&reason.replace('\\', "\\\\").replace('"', "\\\"")).await;
    }
    assert!(wharf.rejection("core").await.contains("core wasm module"));
    wharf.get("/orders/").await.assert_status(404);

    fs::remove_file(plugins.join("text.wasm")).unwrap();
    fs::remove_file(plugins.join("core.wasm")).unwrap();
    eventually("what is gone is not listed", async || {
        let list = wharf.admin_get("/api/services").await.json();
        let refused = list["refused"].as_array().unwrap().len();
        (refused == 4 && wharf.versions("core").await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_listens_at_once_and_is_ready_when_every_file_serves() {
    let builder = Wharf::builder().without_waiting();
    let builder = (0..3).fold(builder, |builder, n| builder.file(&format!("heavy-{n}"), &heavy(500, n)));
    let wharf = builder.start().await;
    let ready = wharf.admin_get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.text().trim()), (503, "starting"));
    wharf.admin_get("/livez").await.assert_status(200);
    // Nobody is told that there is no such thing before that is certain.
    let early = wharf.get("/nowhere/").await;
    early.assert_problem(503, "starting");
    assert_eq!(early.header("retry-after"), "1");
    wharf.get("/heavy-2/").await.assert_status(503);
    within(Duration::from_secs(60), "it is ready", async || {
        (wharf.admin_get("/readyz").await.status == 200).then_some(())
    })
    .await;
    for n in 0..3 {
        wharf.get(&format!("/heavy-{n}/")).await.assert_status(200);
    }
    wharf.get("/nowhere/").await.assert_problem(404, "no_route");
}

#[tokio::test]
async fn the_whole_folder_may_go_and_come_back() {
    let wharf = Wharf::builder().file("versioned", &versioned(&marker(1))).start().await;
    let plugins = wharf.dir().join("plugins");
    fs::remove_dir_all(&plugins).unwrap();
    eventually("the service is gone", async || (wharf.get("/versioned/").await.status == 404).then_some(())).await;
    fs::create_dir(&plugins).unwrap();
    wharf.install("versioned.wasm", &versioned(&marker(2)));
    serves(&wharf, 2).await;
    // It is being watched again, not only looked at once.
    wharf.install("versioned.wasm", &versioned(&marker(3)));
    serves(&wharf, 3).await;
}

#[tokio::test]
async fn what_nobody_notifies_of_is_found_by_polling() {
    for (interval, found) in [("100ms", true), ("10m", false)] {
        let builder = Wharf::builder().gateway(&format!("plugins: {{ pollInterval: {interval} }}"));
        let elsewhere = builder.dir().join("elsewhere.wasm");
        fs::write(&elsewhere, versioned(&marker(1))).unwrap();
        symlink(&elsewhere, builder.dir().join("plugins/versioned.wasm")).unwrap();
        let wharf = builder.start().await;
        serves(&wharf, 1).await;
        // Nothing happens in the folder itself.
        fs::write(&elsewhere, versioned(&marker(2))).unwrap();
        if found {
            serves(&wharf, 2).await;
            continue;
        }
        let until = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < until {
            assert_eq!(wharf.get("/versioned/").await.header("x-version"), marker(1), "{interval} is not kept");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        wharf.install("other.wasm", &guest("versioned"));
        serves(&wharf, 2).await;
    }
}

/// Entries of the cache.
fn compiled(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("state/compiled")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

#[tokio::test]
async fn the_next_start_takes_compiled_code_from_the_cache() {
    let wharf = Wharf::builder().plugin("versioned").start().await;
    let builder = wharf.stop().await;
    let entries = compiled(builder.dir());
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let before = fs::metadata(entry).unwrap();
    let mode = fs::metadata(builder.dir().join("state/compiled")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else looks into the cache");

    let wharf = builder.start().await;
    wharf.get("/versioned/").await.assert_status(200);
    assert_eq!(compiled(wharf.dir()), entries);
    let after = fs::metadata(entry).unwrap();
    assert_eq!(after.ino(), before.ino(), "it was written again, so it was compiled again");
    assert!(after.modified().unwrap() > before.modified().unwrap(), "it was not used");
}

#[tokio::test]
async fn a_damaged_entry_of_the_cache_is_not_loaded_and_the_service_comes_up_anyway() {
    let builder = Wharf::builder().plugin("versioned").start().await.stop().await;
    let entries = compiled(builder.dir());
    let mut code = fs::read(&entries[0]).unwrap();
    let middle = code.len() / 2;
    code[middle..middle + 64].fill(0xcc);
    fs::write(&entries[0], &code).unwrap();
    let wharf = builder.start().await;
    wharf.get("/versioned/").await.assert_status(200);
    wharf.logged("compiled code can't be trusted, removing it").await;
    for entry in compiled(wharf.dir()) {
        assert_ne!(fs::read(entry).unwrap(), code, "it is still there");
    }
}

#[tokio::test]
async fn a_cache_that_others_may_write_to_is_refused() {
    let builder = Wharf::builder().plugin("versioned").start().await.stop().await;
    let cache = builder.dir().join("state/compiled");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let said = builder.refused().await;
    assert!(said.contains("others may write to") && said.contains("chmod 700"), "{said}");
    assert!(said.contains(&*cache.to_string_lossy()), "{said}");
}

#[tokio::test]
async fn without_a_cache_nothing_is_kept() {
    let wharf = Wharf::builder().plugin("versioned").gateway("engine: { compileCache: false }").start().await;
    wharf.get("/versioned/").await.assert_status(200);
    assert!(!wharf.dir().join("state/compiled").exists());
}

#[tokio::test]
async fn compiling_longer_than_allowed_is_given_up() {
    // On a busy machine its own compilation might take as long: it comes from the cache.
    let builder = Wharf::builder().plugin("versioned").start().await.stop().await;
    let wharf = builder.gateway("engine: { compileTimeout: 1s }").start().await;
    wharf.install("heavy.wasm", &heavy(40_000, 1));
    let reason = wharf.rejection("heavy").await;
    assert!(reason.contains("engine.compileTimeout (1s)"), "{reason}");
    wharf.get("/heavy/").await.assert_status(503);
    wharf.get("/versioned/").await.assert_status(200);
    eventually("the compiler is stopped", async || (compilers(wharf.pid()) == 0).then_some(())).await;
}

#[tokio::test]
async fn as_many_components_are_compiled_at_once_as_configured() {
    for concurrency in [1, 2] {
        let builder = Wharf::builder().gateway(&format!("engine: {{ compileConcurrency: {concurrency} }}"));
        let builder = (0..2).fold(builder, |builder, n| builder.file(&format!("heavy-{n}"), &heavy(1000, n)));
        let wharf = builder.without_waiting().start().await;
        let mut most = 0;
        within(Duration::from_secs(60), "it is ready", async || {
            most = most.max(compilers(wharf.pid()));
            (wharf.admin_get("/readyz").await.status == 200).then_some(())
        })
        .await;
        assert_eq!(most, concurrency);
    }
}

#[tokio::test]
async fn a_file_that_is_put_back_while_its_replacement_compiles_goes_on_serving() {
    let wharf = Wharf::builder().file("versioned", &versioned(&marker(7))).start().await;
    wharf.install("versioned.wasm", &heavy(2000, 1));
    eventually("the replacement compiles", async || (compilers(wharf.pid()) > 0).then_some(())).await;
    wharf.install("versioned.wasm", &versioned(&marker(7)));
    eventually("nothing compiles any more", async || (compilers(wharf.pid()) == 0).then_some(())).await;
    wharf.install("other.wasm", &guest("versioned"));
    eventually("another one serves", async || (wharf.get("/other/").await.status == 200).then_some(())).await;
    assert_eq!(wharf.get("/versioned/").await.header("x-version"), marker(7));
    assert_eq!(wharf.states("versioned").await, ["versioned.wasm serving"]);
}

/// Children of this process.
fn compilers(of: u32) -> usize {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let parents = processes.filter_map(|stat| {
        // `pid (name) state ppid …`, where the name may contain anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, parent) = (fields.next()?.to_owned(), fields.next()?.parse::<u32>().ok()?);
        (state != "Z").then_some(parent)
    });
    parents.filter(|parent| *parent == of).count()
}
