//! What a call from one service to another costs: in process, and over loopback HTTP to the same gateway.
//!
//! One request makes [`CALLS`] calls one after the other, or none; what is left after subtracting the request without
//! calls, over the number of calls, is the cost of a call. Over HTTP one process is on both ends, so both are counted,
//! as they are in process.

use anyhow::ensure;

use super::{GREETER, Scene, Stage};
use crate::report::{Figure, Measured};
use crate::target::{Answer, Target, Wharf, free_address};

/// Calls of one request; half of what a service may make by default.
const CALLS: u32 = 50;

const CALLER: &str = "caller";
const NONE: &str = "calls-none";
const IN_PROCESS: &str = "calls-in-process";
const LOOPBACK: &str = "calls-loopback";
const IN_PROCESS_REUSE: &str = "calls-in-process-reuse";
const LOOPBACK_REUSE: &str = "calls-loopback-reuse";

/// How the calls of one target go.
struct Way {
    key: &'static str,
    title: &'static str,
    settings: &'static str,
    calls: u32,
    loopback: bool,
    /// What `services/greeter.yaml` says.
    callee: &'static str,
}

const WAYS: [Way; 5] = [
    Way {
        key: NONE,
        title: "no call",
        settings: "a request to `caller`, which calls nobody; access log off, here and below",
        calls: 0,
        loopback: false,
        callee: "",
    },
    Way {
        key: IN_PROCESS,
        title: "50 calls in process",
        settings: "`http://greeter.internal/`",
        calls: CALLS,
        loopback: false,
        callee: "",
    },
    Way {
        key: LOOPBACK,
        title: "50 calls over loopback HTTP",
        settings: "`http://127.0.0.1:<port of the gateway>/greeter/`, keep-alive",
        calls: CALLS,
        loopback: true,
        callee: "",
    },
    Way {
        key: IN_PROCESS_REUSE,
        title: "50 calls in process, greeter with `slots: reuse`",
        settings: "as above, `slots: reuse` for the greeter",
        calls: CALLS,
        loopback: false,
        callee: "slots: reuse\n",
    },
    Way {
        key: LOOPBACK_REUSE,
        title: "50 calls over loopback HTTP, greeter with `slots: reuse`",
        settings: "as above, `slots: reuse` for the greeter",
        calls: CALLS,
        loopback: true,
        callee: "slots: reuse\n",
    },
];

pub(super) fn start(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let mut scene = Scene::default();
    for way in &WAYS {
        let (server, answer) = stage.server(way.target(stage)?)?;
        way.ensure_called(&answer)?;
        server.pause()?;
        scene.servers.push(server);
        scene.answer_bytes = scene.answer_bytes.max(answer.body.len());
    }
    Ok(scene)
}

impl Way {
    fn target(&self, stage: &Stage<'_>) -> anyhow::Result<Target> {
        let address = free_address()?;
        let url = match self.loopback {
            true => format!("http://{address}/{GREETER}/"),
            false => format!("http://{GREETER}.internal/"),
        };
        let caller =
            format!("grants: {{ calls: [{GREETER}], egress: [{{ url: 'http://{address}', allowPrivate: true }}] }}\n");
        let target = stage.programs.wharf(&Wharf {
            key: self.key,
            title: self.title,
            settings: self.settings,
            plugins: &[(GREETER, stage.programs.greeter), (CALLER, stage.programs.caller)],
            gateway: "accessLog: { enabled: false }\n",
            services: &[(CALLER, &caller), (GREETER, self.callee)],
            address: Some(address),
            path: &format!("/{CALLER}/sequence?n={}&url={url}", self.calls),
            logs: false,
        })?;
        // A call that fails does not fail the request: it is a line of the answer.
        Ok(Target { exact: true, ..target })
    }

    /// A line for each call, all of them good ones and with the same body.
    fn ensure_called(&self, answer: &Answer) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&answer.body);
        let mut lines = text.lines();
        let first = lines.clone().next().unwrap_or("200 ");
        let good = first.starts_with("200 ") && lines.all(|line| line == first);
        ensure!(good && text.lines().count() == self.calls as usize, "{}: its calls fail:\n{text}", self.title);
        Ok(())
    }
}

pub(super) fn figures(targets: &[Measured]) -> Vec<Figure> {
    let calls = f64::from(CALLS);
    let mut figures = Vec::new();
    for (what, key) in [
        ("a call in process, CPU µs", IN_PROCESS),
        ("a call over loopback HTTP, CPU µs", LOOPBACK),
        ("a call in process to `slots: reuse`, CPU µs", IN_PROCESS_REUSE),
        ("a call over loopback HTTP to `slots: reuse`, CPU µs", LOOPBACK_REUSE),
    ] {
        figures.extend(Figure::of(what, None, targets, [key, NONE], |[with, without]| (with - without) / calls));
    }
    for (what, aim, keys) in [
        ("loopback HTTP ÷ in process", Some("at least 5"), [LOOPBACK, IN_PROCESS, NONE]),
        ("the same with `slots: reuse`", None, [LOOPBACK_REUSE, IN_PROCESS_REUSE, NONE]),
    ] {
        figures.extend(Figure::of(what, aim, targets, keys, |[loopback, in_process, none]| {
            (loopback - none) / (in_process - none)
        }));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_failed_call_is_refused() {
        let [none, in_process, ..] = &WAYS;
        let answer = |text: &str| Answer { content_type: None, body: text.as_bytes().to_vec() };
        let good = vec!["200 18"; CALLS as usize];
        assert!(none.ensure_called(&answer("")).is_ok());
        assert!(none.ensure_called(&answer("200 18")).is_err());
        assert!(in_process.ensure_called(&answer(&good.join("\n"))).is_ok());
        let one_less = good.split_last().unwrap().1;
        assert!(in_process.ensure_called(&answer(&one_less.join("\n"))).is_err());
        let one_bad = [one_less, &["HttpRequestDenied"]].concat();
        assert!(in_process.ensure_called(&answer(&one_bad.join("\n"))).is_err());
        let all_bad = vec!["503 18"; CALLS as usize];
        assert!(in_process.ensure_called(&answer(&all_bad.join("\n"))).is_err());
    }
}
