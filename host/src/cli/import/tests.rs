use serde_json::{Value, json};

use super::*;

fn import(text: &str) -> (bool, String, String) {
    let (mut out, mut warnings) = (Vec::new(), Vec::new());
    let whole = run(Path::new("routes.yaml"), text, &mut out, &mut warnings).unwrap();
    (whole, String::from_utf8(out).unwrap(), String::from_utf8(warnings).unwrap())
}

/// Whether the text is right as a `gateway.yaml`.
fn loads(yaml: &str) -> config::Config {
    let dir = tempfile::tempdir().unwrap();
    // The listeners that routes name are not of the file that is read.
    let listeners = "listeners: [{ name: https, address: '127.0.0.1:1' }, { name: web, address: '127.0.0.1:2' }]";
    std::fs::write(dir.path().join("gateway.yaml"), format!("{yaml}\n{listeners}\n")).unwrap();
    config::load(&config::Source { dir: dir.path().to_owned(), env: None })
        .unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
}

const HEAD: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n";

#[test]
fn what_has_a_counterpart_is_carried_over_whole() {
    let text = format!(
        "{HEAD}metadata: {{ name: shop, namespace: prod, labels: {{ a: b }} }}
spec:
  parentRefs:
    - {{ name: edge, sectionName: https }}
  hostnames: [shop.example, '*.shop.example']
  rules:
    - name: orders
      matches:
        - path: {{ type: PathPrefix, value: /orders }}
          method: GET
          headers: [{{ name: Version, value: '1.10' }}, {{ name: x-a, type: RegularExpression, value: 'a.*' }}]
        - path: {{ type: Exact, value: /latest }}
          queryParams: [{{ name: q, value: blue }}]
        - path: {{ type: RegularExpression, value: '/v[12]/.*' }}
      timeouts: {{ request: 10s, backendRequest: 2s }}
      backendRefs:
        - {{ name: orders-v1, weight: 90 }}
        - {{ name: orders-v2, weight: 10 }}
    - matches: [{{ path: {{ value: /old }} }}]
      filters:
        - type: URLRewrite
          urlRewrite: {{ path: {{ type: ReplacePrefixMatch, replacePrefixMatch: /new }} }}
      backendRefs: [{{ name: legacy }}]
    - backendRefs: [{{ name: rest }}]
---
# a comment between two documents
---
{HEAD}metadata: {{ name: shop, namespace: test }}
spec: {{ rules: [{{ matches: [{{ method: PUT }}], backendRefs: [{{ name: rest }}] }}] }}
"
    );
    let (whole, yaml, warnings) = import(&text);
    assert_eq!(warnings, "");
    assert!(whole);
    loads(&yaml);
    assert_eq!(
        yaml,
        "routes:
- name: shop
  hostnames:
  - shop.example
  - \"*.shop.example\"
  listeners:
  - https
  rules:
  - name: orders
    matches:
    - path:
        prefix: /orders
      method: GET
      headers:
        version: \"1.10\"
        x-a:
          regex: a.*
    - path:
        exact: /latest
      queryParams:
        q: blue
    - path:
        regex: /v[12]/.*
    timeouts:
      request: 10s
      backendRequest: 2s
    backendRefs:
    - service: orders-v1
      weight: 90
    - service: orders-v2
      weight: 10
  - matches:
    - path:
        prefix: /old
    filters:
    - rewrite:
        prefix: /new
    backendRefs:
    - service: legacy
  - backendRefs:
    - service: rest
- name: shop.test
  rules:
  - matches:
    - method: PUT
    backendRefs:
    - service: rest
"
    );
}

#[test]
fn retries_are_carried_over_as_far_as_they_are_possible() {
    for (retry, expected, lost) in [
        (
            "attempts: 3, codes: [500, 503], backoff: 100ms",
            json!({ "attempts": 3, "codes": [500, 503], "backoff": "100ms" }),
            "",
        ),
        ("{}", json!({}), ""),
        ("attempts: 0", json!({ "attempts": 0 }), ""),
        ("backoff: 1s", json!({ "backoff": "1s", "maxBackoff": "10s" }), ""),
        ("backoff: 30s", json!({ "backoff": "30s", "maxBackoff": "1m" }), ""),
        ("codes: [429, 503, 200, x]", json!({ "codes": [503] }), "429 is never tried again"),
        ("attempts: 11", Value::Null, "0 to 10 attempts"),
        ("attempts: 2, backoff: 2m", Value::Null, "a backoff of 1ms to 1m"),
        ("attempts: 2, jitter: 1", json!({ "attempts": 2 }), "`jitter` has no counterpart"),
    ] {
        let retry = retry.trim_matches(['{', '}']);
        let text = format!(
            "{HEAD}metadata: {{ name: shop }}\nspec: {{ rules: [{{ retry: {{ {retry} }}, backendRefs: [{{ name: a }}] }}] }}\n"
        );
        let (whole, yaml, warnings) = import(&text);
        let read = loads(&yaml);
        let expected: Option<config::RuleRetry> = serde_json::from_value(expected).unwrap();
        assert_eq!(read.gateway.routes[0].rules[0].retry, expected, "{retry}: {yaml}");
        assert_eq!(whole, lost.is_empty(), "{retry}: {warnings}");
        assert!(warnings.contains(lost), "{retry}: {warnings}");
    }
}

#[test]
fn what_has_none_is_reported_with_its_line() {
    let text = format!(
        "{HEAD}metadata: {{ name: shop }}
spec:
  parentRefs:
    - {{ name: edge, port: 443 }}
  rules:
    - matches:
        - path: {{ type: PathPrefix, value: /a }}
        - path: {{ type: RegularExpression, value: '/(?=x)' }}
        - path: {{ type: PathPrefix, value: /a/ }}
        - {{ path: {{ value: /c }}, cookies: [{{ name: a, value: b }}] }}
        - path: {{ type: Glob, value: /d }}
      filters:
        - type: RequestMirror
          requestMirror: {{ backendRef: {{ name: shadow, kind: Bucket }} }}
      retry: {{ attempts: 11 }}
      timeouts: {{ request: 0s }}
      backendRefs:
        - {{ name: a, port: 80, namespace: other }}
        - {{ name: b, port: 80 }}
        - {{ name: c, kind: Bucket }}
    - matches: [{{ path: {{ value: /b }} }}]
      filters: [{{ type: ExtensionRef, extensionRef: {{ name: x }} }}]
      sessionPersistence: {{ type: Cookie }}
      backendRefs: [{{ name: b }}]
    - matches: [{{ path: {{ value: /e }} }}, {{ path: {{ value: /f }} }}]
      backendRefs: [{{ name: Not_A_Name }}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
---
{HEAD}metadata: {{ name: empty }}
spec: {{ rules: [{{ matches: [{{ path: {{ value: /a }} }}], backendRefs: [{{ name: a }}] }}] }}
---
{HEAD}metadata: {{ name: mesh }}
spec: {{ parentRefs: [{{ kind: Service, name: a }}], rules: [{{ backendRefs: [{{ name: a }}] }}] }}
---
apiVersion: gateway.networking.k8s.io/v2
kind: HTTPRoute
"
    );
    let (whole, yaml, warnings) = import(&text);
    assert!(!whole);
    loads(&yaml);
    let warnings: Vec<&str> = warnings.lines().collect();
    assert_eq!(
        warnings,
        [
            "warning: routes.yaml:6: `port` has no counterpart",
            "warning: routes.yaml:10: left out: not a regular expression: look-around, including look-ahead and \
             look-behind, is not supported",
            "warning: routes.yaml:11: left out: never reached: route `shop` matches the same",
            "warning: routes.yaml:12: the match is left out: without that condition it would match more",
            "warning: routes.yaml:12: `cookies` has no counterpart",
            "warning: routes.yaml:13: the match is left out: without that condition it would match more",
            "warning: routes.yaml:13: paths of type Glob have no counterpart",
            "warning: routes.yaml:16: left out: backends of kind Bucket have no counterpart",
            "warning: routes.yaml:17: `retry` is left out: 0 to 10 attempts are possible",
            "warning: routes.yaml:18: `0s` (no timeout) is not possible for one rule: set `timeouts.request` of the service",
            "warning: routes.yaml:20: services have no namespaces here: the name alone is carried over",
            "warning: routes.yaml:22: left out: backends of kind Bucket have no counterpart",
            "warning: routes.yaml:23: the rule is left out: without that filter it would let more through",
            "warning: routes.yaml:24: filters of type ExtensionRef have no counterpart",
            "warning: routes.yaml:25: `sessionPersistence` has no counterpart",
            "warning: routes.yaml:27: left out: `Not_A_Name` is no service name: use a lowercase letter, then lowercase \
             letters, digits and `-`, at most 63",
            "warning: routes.yaml:30: kind Gateway is not carried over: only HTTPRoute is",
            "warning: routes.yaml:33: route `empty` is left out: it has no rule that could be carried over",
            "warning: routes.yaml:36: left out: never reached: route `shop` matches the same",
            "warning: routes.yaml:38: route `mesh` is left out: none of its parents is a Gateway",
            "warning: routes.yaml:41: a parent of kind Service has no counterpart",
            "warning: routes.yaml:43: apiVersion `gateway.networking.k8s.io/v2` is not known: write \
             gateway.networking.k8s.io/v1",
            "note: routes.yaml:20: ports of services mean nothing here: a service is reached by its name",
        ]
    );
    assert_eq!(
        yaml,
        "routes:
- name: shop
  rules:
  - matches:
    - path:
        prefix: /a
    backendRefs:
    - service: a
    - service: b
"
    );
}

#[test]
fn filters_keep_their_meaning_under_their_names_here() {
    let text = format!(
        "{HEAD}metadata: {{ name: shop }}
spec:
  rules:
    - matches: [{{ path: {{ value: /a }} }}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{{ name: X-Set, value: one }}]
            add: [{{ name: x-add, value: two }}]
            remove: [x-remove]
        - type: URLRewrite
          urlRewrite: {{ hostname: inner.example, path: {{ type: ReplaceFullPath, replaceFullPath: /x }} }}
        - type: CORS
          cors:
            allowOrigins: ['https://*.shop.example']
            allowMethods: [GET, PUT]
            allowHeaders: [x-a]
            exposeHeaders: [x-b]
            allowCredentials: true
            maxAge: 60
      backendRefs:
        - name: a
          filters:
            - type: ResponseHeaderModifier
              responseHeaderModifier: {{ set: [{{ name: x-out, value: three }}] }}
    - matches: [{{ path: {{ value: /b }} }}]
      filters:
        - type: RequestRedirect
          requestRedirect:
            scheme: https
            hostname: b.example
            port: 8443
            statusCode: 301
            path: {{ type: ReplacePrefixMatch, replacePrefixMatch: '' }}
"
    );
    let (_, yaml, warnings) = import(&text);
    assert_eq!(warnings, "");
    loads(&yaml);
    assert_eq!(
        yaml,
        "routes:
- name: shop
  rules:
  - matches:
    - path:
        prefix: /a
    filters:
    - requestHeaders:
        set:
          x-set: one
        add:
          x-add: two
        remove:
        - x-remove
    - rewrite:
        path: /x
        host: inner.example
    - cors:
        allowOrigins:
        - https://*.shop.example
        allowMethods:
        - GET
        - PUT
        allowHeaders:
        - x-a
        exposeHeaders:
        - x-b
        allowCredentials: true
        maxAge: 60s
    backendRefs:
    - service: a
      filters:
      - responseHeaders:
          set:
            x-out: three
  - matches:
    - path:
        prefix: /b
    filters:
    - redirect:
        scheme: https
        host: b.example
        port: 8443
        status: 301
        prefix: /
"
    );
}

#[test]
fn what_is_no_yaml_is_refused() {
    let error = run(Path::new("r.yaml"), "a: [", &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("not valid YAML"), "{error}");
}

#[test]
fn mirrors_are_carried_over_with_their_share() {
    for (share, percent) in [
        ("", None),
        (", percent: 20", Some("20")),
        (", fraction: { numerator: 5, denominator: 1000 }", Some("0.5")),
        (", fraction: { numerator: 1, denominator: 3 }", Some("33.3333")),
        (", fraction: { numerator: 35 }", Some("35")),
    ] {
        let text = format!(
            "{HEAD}metadata: {{ name: shop }}\nspec: {{ rules: [{{ filters: [{{ type: RequestMirror, requestMirror: {{ \
             backendRef: {{ name: shadow }}{share} }} }}], backendRefs: [{{ name: orders }}] }}] }}\n"
        );
        let (whole, yaml, warnings) = import(&text);
        assert!(whole && warnings.is_empty(), "{warnings}");
        loads(&yaml);
        let percent = percent.map(|percent| format!("        percent: {percent}\n")).unwrap_or_default();
        assert!(yaml.contains(&format!("    - mirror:\n        service: shadow\n{percent}    backendRefs")), "{yaml}");
    }
    let nobody = format!(
        "{HEAD}metadata: {{ name: shop }}\nspec: {{ rules: [{{ filters: [{{ type: RequestMirror, requestMirror: {{ \
         backendRef: {{ kind: Bucket, name: a }} }} }}], backendRefs: [{{ name: orders }}] }}] }}\n"
    );
    let (whole, yaml, warnings) = import(&nobody);
    assert!(!whole && warnings.contains("backends of kind Bucket have no counterpart"), "{warnings}");
    assert!(!yaml.contains("mirror") && yaml.contains("service: orders"), "{yaml}");
}
