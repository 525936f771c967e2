//! `wharf explain`: where a request would go under the configuration as it is on disk, and why.
//!
//! Reads the configuration and the names of the files in the plugins folder, needs no running host and sends nothing.
//! What is said comes from the gateway's own routing table; here a request is read from the command line, and the answer
//! is written down.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::OutputFormat;
use crate::config::{self, Problems, Source};
use crate::gateway::{
    self, Destination, ExplainError as NoAnswer, ExplainedSplit, Explanation, FilterStep, Origin, Question,
};
use crate::plugin;

/// A request as written on the command line.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET https://host/path?query`; the method may be left out, and so may everything before the path.
    pub request: String,
    /// `name: value` each.
    pub headers: Vec<String>,
    /// Who would send it.
    pub client: IpAddr,
    /// By which listener it would come.
    pub listener: Option<String>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The request is none.
    #[error("`{request}` is no request: write it like 'GET https://shop.example/orders?page=2' ({reason})")]
    Request {
        /// What was given.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header is none.
    #[error("`{0}` is no header: write it like 'name: value'")]
    Header(String),
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] Problems),
    /// It could not come by any listener.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints where a request would go. Returns whether it has a route.
///
/// # Errors
/// When the request or the configuration is wrong, or `out` cannot be written to.
pub fn run(source: &Source, asked: &Asked, format: OutputFormat, out: &mut dyn Write) -> Result<bool, ExplainError> {
    let question = question(asked)?;
    let config = config::load(source)?;
    let files = plugin::services_in(&config.gateway.plugins.dir);
    let explanation = gateway::explain(&config, &files, &question)?;
    match format {
        OutputFormat::Text => out.write_all(text(&question, &explanation).as_bytes())?,
        OutputFormat::Json => {
            serde_json::to_writer(&mut *out, &explanation).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    let is_answered = explanation.is_health || explanation.listener.redirects_to_https.is_some();
    Ok(explanation.found.is_some() || is_answered)
}

fn question(asked: &Asked) -> Result<Question, ExplainError> {
    let wrong = |reason: String| ExplainError::Request { request: asked.request.clone(), reason };
    let (method, target) = asked.request.trim().split_once(' ').unwrap_or(("GET", asked.request.trim()));
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| wrong(format!("`{method}` is no method")))?;
    let uri: Uri = target.trim_start().parse().map_err(|error| wrong(format!("{error}")))?;
    // `shop.example` alone would be an authority without a path.
    if uri.path_and_query().is_none() || !uri.path().starts_with('/') {
        return Err(wrong("an address begins with https://, http:// or `/`".to_owned()));
    }
    let mut headers = HeaderMap::new();
    for line in &asked.headers {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or_else(|| ExplainError::Header(line.clone()))?;
        headers.append(name, value);
    }
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    Ok(Question {
        listener: asked.listener.clone(),
        secure: uri.scheme_str().map(|scheme| scheme == "https"),
        method,
        host: uri.authority().map(|authority| authority.as_str().to_owned()).or(named),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        headers,
        client: asked.client,
    })
}

/// The answer for people.
fn text(question: &Question, explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut text, question, explanation);
    text
}

fn write_text(out: &mut String, question: &Question, explanation: &Explanation) -> std::fmt::Result {
    let Question { method, host, path, query, client, .. } = question;
    let query = query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let host = host.as_deref().unwrap_or("(no host)");
    writeln!(out, "{method} {host}{path}{query}")?;
    let listener = &explanation.listener;
    writeln!(out, "from {client} by listener {} ({})\n", listener.name, listener.address)?;
    if explanation.path != *path {
        writeln!(out, "its path is read as {}\n", explanation.path)?;
    }
    match &explanation.found {
        Some(found) => write_found(out, &explanation.path, found)?,
        None if listener.redirects_to_https.is_some() => {
            let port = listener.redirects_to_https.unwrap_or_default();
            writeln!(out, "the listener sends it to https, port {port}: 308")?;
        }
        None if explanation.is_health => {
            writeln!(out, "no route: the gateway itself answers how all services are (`health` of gateway.yaml)")?;
        }
        None => writeln!(out, "no route: it is answered 404 no_route")?,
    }
    if !explanation.others.is_empty() {
        writeln!(out, "\nothers:")?;
    }
    for other in &explanation.others {
        let verb = if other.holds { "matches, but" } else { "does not match:" };
        writeln!(out, "  {}: {verb} {}", name(&other.origin), other.reasons.join("; "))?;
    }
    Ok(())
}

fn write_found(out: &mut String, path: &str, found: &Destination) -> std::fmt::Result {
    writeln!(out, "{}", name(&found.origin))?;
    writeln!(out, "  matched   {}, {}", found.host, found.path)?;
    if found.priority != 0 {
        writeln!(out, "  priority  {}", found.priority)?;
    }
    if found.public {
        writeln!(out, "  public    identity filters of the gateway do not hold")?;
    }
    if !found.filters.is_empty() {
        writeln!(out, "  filters   {}", chain(&found.filters))?;
    }
    if let Some(rewritten) = &found.rewritten {
        writeln!(out, "  path      {path} becomes {rewritten}")?;
    }
    if let Some(filter) = &found.answered_by {
        return writeln!(out, "  answered  by {filter}; no service is asked");
    }
    if found.backends.is_empty() {
        writeln!(out, "  nowhere   no backend: it is answered 500 no_instance")?;
    }
    if let Some(own) = found.max_concurrent {
        writeln!(out, "  bulkhead  {own} requests of this rule at once")?;
    }
    if let Some(split) = &found.split {
        writeln!(out, "  split     {}", told(split, found))?;
    }
    for (index, backend) in found.backends.iter().enumerate() {
        let label = if index == 0 { "goes to" } else { "" };
        let version = backend.version.as_deref().map(|version| format!("@{version}")).unwrap_or_default();
        write!(out, "  {label:<9} {}{version} {} %", backend.service, backend.percent)?;
        if let Some(timeout) = backend.request_timeout {
            write!(out, ", within {timeout}")?;
        }
        if let Some(timeout) = backend.backend_timeout {
            write!(out, ", {timeout} a try")?;
        }
        if found.max_concurrent.is_some() {
            write!(out, ", {} at once", backend.max_concurrent)?;
        }
        if !backend.filters.is_empty() {
            write!(out, ", after {}", chain(&backend.filters))?;
        }
        match (backend.has_file, backend.instances) {
            (true, 0) => writeln!(out)?,
            (false, 0) => writeln!(out, " (no file of it in the plugins folder)")?,
            (_, 1) => writeln!(out, " (1 instance elsewhere)")?,
            (_, many) => writeln!(out, " ({many} instances elsewhere)")?,
        }
    }
    Ok(())
}

/// `by header x-version, sticky by header x-user: this request is named for orders@2`.
fn told(split: &ExplainedSplit, found: &Destination) -> String {
    let named = (!split.named_by.is_empty()).then(|| format!("by {}", split.named_by.join(" or ")));
    let sticky = split.sticky_by.as_ref().map(|by| format!("sticky by {by}"));
    let rules = named.into_iter().chain(sticky).collect::<Vec<_>>().join(", ");
    let chosen = split.chosen.and_then(|number| found.backends.get(number.checked_sub(1)?));
    let Some(chosen) = chosen else { return format!("{rules}: weights draw for this request") };
    let version = chosen.version.as_deref().map(|version| format!("@{version}")).unwrap_or_default();
    let because = split.because.unwrap_or_default();
    format!("{rules}: this request goes to {}{version} ({because})", chosen.service)
}

/// `route shop, rule 2 (orders), match 1`.
fn name(origin: &Origin) -> String {
    if let Some(service) = origin.route.strip_prefix("auto:") {
        return format!("automatic route of {service}");
    }
    let named = origin.rule_name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("route {}, rule {}{named}, match {}", origin.route, origin.rule, origin.matched)
}

fn chain(steps: &[FilterStep]) -> String {
    let step = |step: &FilterStep| {
        let of = (step.of == "gateway").then_some("of the gateway");
        match step.detail.as_deref().into_iter().chain(of).collect::<Vec<_>>().as_slice() {
            [] => step.name.clone(),
            remarks => format!("{} ({})", step.name, remarks.join("; ")),
        }
    };
    steps.iter().map(step).collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests;
