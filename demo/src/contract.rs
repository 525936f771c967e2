//! Whether everybody keeps to the OpenAPI documents of the services: by the counters of the host, and by its log, which
//! remembers what was counted before the host was killed. The documents only observe, so nobody else would notice.

use serde_json::Value;

use crate::Trouble;
use crate::checks::Check;
use crate::folder::SERVICES;
use crate::host::Host;
use crate::http::text;

/// The counter.
const COUNTER: &str = "wharf_contract_violations_total";
/// What the log says of each.
const LOGGED: &str = "contract broken: ";

/// Messages that are not as a document describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Whether it is the service that does not keep to it (a response), and not who asks.
    pub by_service: bool,
    /// What is known of it.
    pub told: String,
}

/// All of them since the first start of this host.
///
/// # Errors
/// When the host does not say.
pub async fn broken(host: &Host) -> Result<Vec<Broken>, Trouble> {
    let path = host.folder.log();
    let log = std::fs::read_to_string(&path).map_err(Trouble::io(path.display()))?;
    let metrics = host.admin().get("/metrics").send().await?;
    if metrics.status != 200 {
        return Err(metrics.unexpected());
    }
    let mut all = of_log(&log);
    all.extend(of_metrics(&metrics.text()));
    Ok(all)
}

/// The same for the books.
///
/// # Errors
/// As [`broken`].
pub async fn check(host: &Host) -> Result<Check, Trouble> {
    let broken = broken(host).await?.into_iter().map(|one| one.told).collect();
    let seen = format!("the documents of {} services", SERVICES.len());
    Ok(Check { sentence: "all requests and responses are as the services describe them", seen, broken })
}

fn of_log(log: &str) -> Vec<Broken> {
    let lines = log.lines().filter(|line| line.contains(LOGGED));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = |event: Value| {
        let [message, service, operation, direction] =
            ["message", "service", "operation", "direction"].map(|name| text(&event, name));
        let what = message.strip_prefix(LOGGED)?;
        Some(Broken { by_service: direction == "response", told: format!("{service} {operation} {direction}: {what}") })
    };
    events.filter_map(told).collect()
}

/// Of a host that does not count something of every service, nothing is known, which is as bad.
fn of_metrics(page: &str) -> Vec<Broken> {
    let counters: Vec<_> = page.lines().filter(|line| line.starts_with(COUNTER)).collect();
    let not_zero = counters.iter().filter(|line| !line.ends_with(" 0"));
    let counted =
        not_zero.map(|line| Broken { by_service: line.contains("direction=\"response\""), told: (*line).to_owned() });
    let is_counted = |service: &str| {
        let label = format!("service=\"{service}\"");
        counters.iter().any(|line| line.contains(&label))
    };
    let missing = SERVICES.into_iter().filter(|service| !is_counted(service));
    let missing = missing.map(|service| Broken { by_service: true, told: format!("nothing is counted of {service}") });
    counted.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(counts: &[(&str, &str, u32)]) -> String {
        let none = SERVICES.iter().map(|service| (*service, "request", 0));
        let lines = none.chain(counts.iter().copied()).map(|(service, direction, count)| {
            format!("{COUNTER}{{service=\"{service}\",direction=\"{direction}\",kind=\"body\"}} {count}\n")
        });
        format!("# TYPE {COUNTER} counter\nwharf_other_total{{service=\"bank\"}} 7\n{}", lines.collect::<String>())
    }

    #[test]
    fn what_is_counted_is_found() {
        assert_eq!(of_metrics(&page(&[])), []);
        let found = of_metrics(&page(&[("bank", "request", 10), ("users", "response", 1)]));
        assert_eq!(found.iter().map(|one| one.by_service).collect::<Vec<_>>(), [false, true]);
        assert!(found[0].told.contains("bank") && found[1].told.contains("users"), "{found:?}");
    }

    #[test]
    fn a_service_of_which_nothing_is_counted_is_found() {
        let without = page(&[]).replace("service=\"orders\"", "service=\"others\"");
        assert_eq!(of_metrics(&without)[0].told, "nothing is counted of orders");
        assert_eq!(of_metrics("").len(), SERVICES.len());
    }

    #[test]
    fn what_the_log_says_is_found() {
        let line = |message: &str, direction: &str| {
            serde_json::json!({
                "level": "WARN", "message": message, "service": "orders", "operation": "GET /", "direction": direction,
            })
        };
        let (broken, other) = (line("contract broken: `limit` is 0", "request"), line("a warning", "response"));
        assert_eq!(
            of_log(&format!("{other}\nno JSON, contract broken: \n{broken}\n")),
            [Broken { by_service: false, told: "orders GET / request: `limit` is 0".to_owned() }]
        );
        assert!(of_log(&line("contract broken: x", "response").to_string())[0].by_service);
    }
}
