//! What the guest sees, and what it gets when it reaches for more.

use std::fmt::Write;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, Scheme};

/// One line a fact: method, scheme, authority, target, headers.
pub fn seen(request: &IncomingRequest) -> String {
    let mut text = format!(
        "method {:?}\nscheme {:?}\nauthority {:?}\ntarget {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    );
    let mut headers = request.headers().entries();
    headers.sort();
    for (name, value) in headers {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

/// One line an attempt.
pub fn everything() -> String {
    let outcome = |result: Result<String, String>| match result {
        Ok(got) => format!("GOT {got}"),
        Err(refused) => format!("refused: {refused}"),
    };
    let file = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string());
    let dir = std::fs::read_dir("/").map(|_| "a directory".to_owned()).map_err(|error| error.to_string());
    let write = std::fs::write("/tmp/x", b"x").map(|()| "written".to_owned()).map_err(|error| error.to_string());
    let tcp = std::net::TcpStream::connect("127.0.0.1:80");
    let tcp = tcp.map(|_| "a connection".to_owned()).map_err(|error| format!("{:?}", error.kind()));
    let refused_anyway = tcp.as_ref().is_err_and(|kind| kind == "ConnectionRefused");
    let listen = std::net::TcpListener::bind("127.0.0.1:0");
    let listen = listen.map(|_| "a listener".to_owned()).map_err(|error| error.to_string());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0");
    let udp = udp.map(|_| "a socket".to_owned()).map_err(|error| error.to_string());
    format!(
        "variables {}\narguments {}\nfile {}\ndir {}\nwrite {}\ntcp {} (reached the network: {refused_anyway})\n\
         listen {}\nudp {}\nhttp {}\n",
        std::env::vars().count(),
        std::env::args().count(),
        outcome(file),
        outcome(dir),
        outcome(write),
        outcome(tcp),
        outcome(listen),
        outcome(udp),
        outcome(call()),
    )
}

fn call() -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some("127.0.0.1:1"));
    let _ = request.set_path_with_query(Some("/"));
    let response = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => Ok(format!("status {}", response.status())),
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("no response".to_owned()),
    }
}
