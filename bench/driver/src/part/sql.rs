//! What a point read costs through the host, and the same query by native rusqlite.
//!
//! One request reads [`POINTS`] rows by key, one query each, or none; what is left after subtracting the request without
//! queries, over the number of queries, is the cost of a query: on one side by the guest through `wharf:service/sql`, on
//! the other by a native server with its own connection. Same SQLite, same table, same statement.

use std::fs;

use anyhow::ensure;

use super::{Scene, Stage};
use crate::report::{Figure, Measured};
use crate::target::Wharf;

/// Queries of one request.
const POINTS: u32 = 50;

const LEDGER: &str = "ledger";
const NONE: &str = "sql-none";
const READS: &str = "sql-reads";
const NATIVE_NONE: &str = "sql-native-none";
const NATIVE_READS: &str = "sql-native-reads";

const MIGRATION: &str = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
INSERT INTO accounts WITH RECURSIVE n (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n LIMIT 10) SELECT id, 1000 FROM n;
";

pub(super) fn start(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let mut scene = Scene::default();
    for (key, title, points) in [(NONE, "no query", 0), (READS, "50 point reads by the guest", POINTS)] {
        let folder = stage.programs.scratch.join(key).join("plugins").join(format!("{LEDGER}.migrations"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("0001_accounts.sql"), MIGRATION)?;
        let target = stage.programs.wharf(&Wharf {
            key,
            title,
            settings: "a request to `ledger`, `slots: reuse`; access log off",
            plugins: &[(LEDGER, stage.programs.ledger)],
            gateway: "accessLog: { enabled: false }\n",
            services: &[(LEDGER, "slots: reuse\n")],
            path: &format!("/{LEDGER}/points/{points}"),
            ..Wharf::default()
        })?;
        scene.start_points(stage, target, points)?;
    }
    for (key, title, points) in
        [(NATIVE_NONE, "native, no query", 0), (NATIVE_READS, "native, 50 point reads by rusqlite", POINTS)]
    {
        let target = stage.programs.native_points(key, title, points);
        scene.start_points(stage, target, points)?;
    }
    Ok(scene)
}

impl Scene {
    fn start_points(&mut self, stage: &Stage<'_>, target: crate::target::Target, points: u32) -> anyhow::Result<()> {
        let (server, answer) = stage.server(target)?;
        let sum = (u64::from(points) * 1000).to_string();
        ensure!(answer.body == sum.as_bytes(), "it reads {:?} and not {sum}", String::from_utf8_lossy(&answer.body));
        server.pause()?;
        self.servers.push(server);
        self.answer_bytes = self.answer_bytes.max(answer.body.len());
        Ok(())
    }
}

pub(super) fn figures(targets: &[Measured]) -> Vec<Figure> {
    let points = f64::from(POINTS);
    let mut figures = Vec::new();
    for (what, keys) in [
        ("a point read by the guest, CPU µs", [READS, NONE]),
        ("a point read by native rusqlite, CPU µs", [NATIVE_READS, NATIVE_NONE]),
    ] {
        figures.extend(Figure::of(what, None, targets, keys, |[with, without]| (with - without) / points));
    }
    let keys = [READS, NONE, NATIVE_READS, NATIVE_NONE];
    figures.extend(Figure::of(
        "by the guest ÷ native",
        Some("at most 2"),
        targets,
        keys,
        |[ours, none, theirs, nothing]| (ours - none) / (theirs - nothing),
    ));
    figures
}
