//! Wharf in front of another server, beside nginx and HAProxy.
//!
//! The same for all three: one worker on one CPU, the same backend on another, keep-alive on both sides, the client's
//! address in `X-Forwarded-For`, no access log. What differs is told in the README.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::{Scene, Stage};
use crate::report::{Figure, Measured};
use crate::target::{Answer, Target, Wharf, free_address};

const WHARF: &str = "proxy-wharf";
const NGINX: &str = "proxy-nginx";
const HAPROXY: &str = "proxy-haproxy";

pub(super) const COMPARED: &[(&str, &str)] = &[(WHARF, NGINX), (WHARF, HAPROXY)];

/// Name of the service that stands for the backend.
const BACKEND: &str = "backend";
const BODY: &[u8] = b"Hello from Wharf!\n";

pub(super) fn start(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let answer = Answer { content_type: Some("text/plain; charset=utf-8".to_owned()), body: BODY.to_vec() };
    let native = stage.programs.native("proxy-backend", "the backend", &answer)?;
    let (backend, given) = stage.helper(native)?;
    backend.ensure_answers(&answer, &given)?;
    let at = backend.address.context("the backend has no address")?;

    let mut targets = vec![stage.programs.wharf(&Wharf {
        key: WHARF,
        title: "Wharf",
        settings: "the backend as a remote instance, every policy at its default; no access log",
        gateway: "accessLog: { enabled: false }\n",
        services: &[(BACKEND, &format!("instances: [{{ name: a, url: 'http://{at}' }}]\n"))],
        path: &format!("/{BACKEND}/"),
        ..Wharf::default()
    })?];
    if let Some(program) = stage.programs.nginx {
        targets.push(nginx(stage, program, at)?);
    }
    if let Some(program) = stage.programs.haproxy {
        targets.push(haproxy(stage, program, at)?);
    }
    let mut scene = Scene { helpers: vec![backend], ..Scene::default() };
    scene.start_alike(stage, targets, Some(answer))?;
    Ok(scene)
}

/// One process without a master: it runs the event loop that a worker runs. Connections are kept for as many requests
/// as there are; by default they are closed after 1000.
fn nginx(stage: &Stage<'_>, program: &Path, backend: SocketAddr) -> anyhow::Result<Target> {
    let listen = free_address()?;
    let home = stage.programs.scratch.join(NGINX);
    fs::create_dir_all(&home)?;
    let connections = stage.connections;
    let room = 2 * connections + 64;
    let file = home.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; pid nginx.pid;\n\
             events {{ worker_connections {room}; }}\n\
             http {{\n\
             access_log off; keepalive_requests 1000000000;\n\
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             upstream backend {{ server {backend}; keepalive {connections}; keepalive_requests 1000000000; }}\n\
             server {{ listen {listen}; location / {{\n\
             proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';\n\
             proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             }} }} }}\n"
        ),
    )?;
    Ok(Target {
        key: NGINX,
        title: "nginx",
        program: program.to_owned(),
        arguments: vec!["-e".into(), "stderr".into(), "-p".into(), home.into(), "-c".into(), file.into()],
        address: Some(listen),
        path: "/".to_owned(),
        logs: false,
        exact: false,
        settings: "one process; `keepalive` to the upstream for every connection, no limit of requests for one, \
                   `proxy_http_version 1.1`, `X-Forwarded-For`; no access log"
            .to_owned(),
    })
}

fn haproxy(stage: &Stage<'_>, program: &Path, backend: SocketAddr) -> anyhow::Result<Target> {
    let listen = free_address()?;
    let file = stage.programs.scratch.join(HAPROXY).with_extension("cfg");
    // Of the files that so many connections may need, it keeps idle connections to a server in a fifth only.
    let room = 8 * stage.connections + 1024;
    fs::write(
        &file,
        format!(
            "global\n  nbthread 1\n  maxconn {room}\n\
             defaults\n  mode http\n  option forwardfor\n  http-reuse always\n  timeout connect 1s\n  \
             timeout client 55s\n  timeout server 15s\n\
             listen proxy\n  bind {listen}\n  server a {backend}\n"
        ),
    )?;
    Ok(Target {
        key: HAPROXY,
        title: "HAProxy",
        program: program.to_owned(),
        arguments: vec!["-db".into(), "-f".into(), file.into()],
        address: Some(listen),
        path: "/".to_owned(),
        logs: false,
        exact: false,
        settings: "one thread, `mode http`, `http-reuse always`, `option forwardfor`; no log".to_owned(),
    })
}

pub(super) fn figures(targets: &[Measured]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (what, key) in [
        ("Wharf, requests per CPU-second", WHARF),
        ("nginx, requests per CPU-second", NGINX),
        ("HAProxy, requests per CPU-second", HAPROXY),
    ] {
        figures.extend(Figure::of(what, None, targets, [key], |[cpu]| 1e6 / cpu));
    }
    let aim = Some("at least 1.0");
    figures.extend(
        Figure::of("Wharf ÷ the better of both", aim, targets, [WHARF, NGINX, HAPROXY], |[wharf, nginx, haproxy]| {
            nginx.min(haproxy) / wharf
        })
        .or_else(|| Figure::of("Wharf ÷ nginx", aim, targets, [WHARF, NGINX], |[wharf, nginx]| nginx / wharf))
        .or_else(|| Figure::of("Wharf ÷ HAProxy", aim, targets, [WHARF, HAPROXY], |[wharf, other]| other / wharf)),
    );
    figures
}
