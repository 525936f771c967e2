//! What the policies cost: the same service with everything on, and with everything off that can be.
//!
//! The access log is off on both sides: it is no policy, and with it both would cost more and the ratio look better.
//! With `slots: reuse` the service itself costs least, so there the same policies weigh most.

use super::{GREETER, Scene, Stage};
use crate::report::{Figure, Measured};
use crate::target::Wharf;

const BARE: &str = "policies-off";
const FULL: &str = "policies-on";
const BARE_REUSE: &str = "policies-off-reuse";
const FULL_REUSE: &str = "policies-on-reuse";

pub(super) const COMPARED: &[(&str, &str)] = &[(FULL, BARE), (FULL_REUSE, BARE_REUSE)];

const BARE_GATEWAY: &str = "accessLog: { enabled: false }\n";

/// Bulkhead and limits of the sandbox cannot be switched off.
const BARE_SERVICE: &str = "\
timeouts: { request: 0s, streamIdle: 0s }
bulkhead: { maxConcurrent: 100000, reserved: 0 }
circuitBreaker: { enabled: false }
outlierDetection: { consecutiveFailures: 0 }
";

/// Every filter that lets the request through, says no secret and makes no second request.
const FULL_GATEWAY: &str = "\
accessLog: { enabled: false }
filters:
  - cors: { allowOrigins: ['https://shop.example.com'] }
  - ipRules: { allow: [127.0.0.0/8, 10.0.0.0/8], deny: [10.6.6.6/32] }
  - rateLimit: { name: address, requests: 10000000, per: 1s }
  - rateLimit: { name: all, requests: 10000000, per: 1s, key: service }
  - bodyLimit: { max: 64KiB }
  - requestHeaders: { set: { x-stage: bench }, remove: [x-old] }
  - responseHeaders: { set: { x-served-by: wharf } }
  - fault: { abort: { status: 503, percent: 50 }, header: x-fault }
  - cacheControl: { scope: private, maxAge: 1m }
  - compression: {}
";

const FULL_SERVICE: &str = "\
timeouts: { request: 15s, backendRequest: 10s }
retry: {}
circuitBreaker: { slowCallDurationThreshold: 5s, fallback: { response: { status: 503, body: later } } }
outlierDetection: { failureRateThreshold: 50 }
bulkhead: { adaptive: { enabled: true, minLimit: 64 } }
healthCheck: { path: /health, interval: 1s }
loadBalancer: { strategy: peakEwma, slowStart: 1s }
";

pub(super) fn start(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let path = format!("/{GREETER}/");
    let [bare_reuse, full_reuse] = [BARE_SERVICE, FULL_SERVICE].map(|service| format!("{service}slots: reuse\n"));
    let bare = Wharf {
        key: BARE,
        title: "policies off",
        settings: "no filters, breaker, outlier detection, health checks, timeouts or access log; bulkhead wide open",
        plugins: &stage.greeter(),
        gateway: BARE_GATEWAY,
        services: &[(GREETER, BARE_SERVICE)],
        path: &path,
        ..Wharf::default()
    };
    let full = Wharf {
        key: FULL,
        title: "policies on",
        settings: "`cors`, `ipRules`, two `rateLimit`, `bodyLimit`, `requestHeaders`, `responseHeaders`, `fault` by \
                   header, `cacheControl`, `compression`; timeouts, retry with budget, breaker with slow calls and \
                   fallback, outlier detection by rate, adaptive bulkhead, health check, `peakEwma`; no access log",
        gateway: FULL_GATEWAY,
        services: &[(GREETER, FULL_SERVICE)],
        ..bare
    };
    let bare_reuse = Wharf {
        key: BARE_REUSE,
        title: "policies off, `slots: reuse`",
        settings: "as above, `slots: reuse`",
        services: &[(GREETER, &bare_reuse)],
        ..bare
    };
    let full_reuse = Wharf {
        key: FULL_REUSE,
        title: "policies on, `slots: reuse`",
        settings: "as above, `slots: reuse`",
        services: &[(GREETER, &full_reuse)],
        ..full
    };
    let mut targets = Vec::new();
    for wharf in [&bare, &full, &bare_reuse, &full_reuse] {
        targets.push(stage.programs.wharf(wharf)?);
    }
    let mut scene = Scene::default();
    scene.start_alike(stage, targets, None)?;
    Ok(scene)
}

pub(super) fn figures(targets: &[Measured]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (what, aim, full, bare) in [
        ("policies on ÷ off, CPU per request", Some("at most 1.10"), FULL, BARE),
        ("the same with `slots: reuse`", None, FULL_REUSE, BARE_REUSE),
    ] {
        figures.extend(Figure::of(what, aim, targets, [full, bare], |[full, bare]| full / bare));
    }
    for (what, full, bare) in [
        ("policies on − off, CPU µs per request", FULL, BARE),
        ("the same with `slots: reuse`, CPU µs", FULL_REUSE, BARE_REUSE),
    ] {
        figures.extend(Figure::of(what, None, targets, [full, bare], |[full, bare]| full - bare));
    }
    figures
}
