//! The `wharf` command: flags, log, exit code. Everything else is in the library.

mod events;
mod flags;
mod queues;
mod rollout;
mod source;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use wharf::cli;
use wharf::cli::rollout::Order;
use wharf::cli::validate::Verdict;
use wharf::config::SchemaKind;
use wharf::plugin::{CompileIn, HttpVersion, compile_stdin};
use wharf::{Options, Overrides};

use self::flags::{Cli, Command, ContractCommand, HashOf, SchemaOf, Serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The last word, when there is no log yet.
            let _ = writeln!(std::io::stderr(), "wharf: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error and its causes, without those that it tells itself.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match (told.is_empty(), told.contains(&cause)) {
            (true, _) => cause,
            (false, true) => told,
            (false, false) => format!("{told}: {cause}"),
        }
    })
}

/// Whether what was asked for is so.
fn run(command: Command) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Serve(serve) => {
            drop(out);
            self::serve(serve)
        }
        Command::Validate { source, format, strict, plugins } => {
            let colour = out.is_terminal();
            let verdict = cli::validate::run(&source.into(), format.into(), colour, &mut out)?;
            let kept = match plugins {
                Some(dir) => cli::contract::folder(&dir, format.into(), &mut out)?,
                None => true,
            };
            if !kept {
                return Ok(false);
            }
            match verdict {
                Verdict::Warned if strict => {
                    out.flush()?;
                    std::process::exit(2);
                }
                Verdict::Right | Verdict::Warned => Ok(true),
                Verdict::Wrong => Ok(false),
            }
        }
        Command::Config { source, service } => {
            cli::config::run(&source.into(), service.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Explain { source, request, headers, client_ip, listener, format } => {
            let asked = cli::explain::Asked { request, headers, client: client_ip, listener };
            Ok(cli::explain::run(&source.into(), &asked, format.into(), &mut out)?)
        }
        Command::Import { file } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            if !cli::import::run(&file, &text, &mut out, &mut std::io::stderr())? {
                out.flush()?;
                std::process::exit(2);
            }
            Ok(true)
        }
        Command::Schema { of } => {
            let kind = match of {
                SchemaOf::Gateway => SchemaKind::Gateway,
                SchemaOf::Service => SchemaKind::Service,
                SchemaOf::Overlay => SchemaKind::Overlay,
            };
            cli::schema::run(kind, &mut out)?;
            Ok(true)
        }
        Command::Contract(ContractCommand::Diff { old, new, format }) => {
            Ok(cli::contract::diff(&old, &new, format.into(), &mut out)?)
        }
        Command::Inspect { file, json } => {
            let wasm = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(cli::inspect::run(&wasm, &file, json, &mut out)?)
        }
        Command::Services { source, admin, json, watch } => {
            let admin = match admin {
                Some(admin) => admin,
                None => wharf::config::load(&source.into())?.gateway.admin.listen,
            };
            drop(out);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let out = &mut std::io::stdout();
            if watch {
                runtime.block_on(cli::services::watch(admin, json, out))?;
            } else {
                runtime.block_on(cli::services::run(admin, json, out))?;
            }
            Ok(true)
        }
        Command::Rollout { what } => {
            drop(out);
            rollout::run(what)
        }
        Command::Rollback { of } => {
            drop(out);
            rollout::order(of, Order::Rollback)
        }
        Command::Events { what } => {
            drop(out);
            events::run(*what)
        }
        Command::Queues { what } => {
            drop(out);
            queues::run(what)
        }
        Command::Sql { source, state, service, statement, limit, json } => {
            let asked = cli::sql::Asked { service, statement, limit, json };
            cli::sql::run(&source.into(), state, &asked, &mut out)?;
            Ok(true)
        }
        Command::Hash { of: HashOf::ApiKey { name, scopes, expires } } => {
            cli::hash::api_key(&name, &scopes, expires.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Hash { of: HashOf::Password { user } } => {
            let mut input = std::io::stdin();
            let terminal = input.is_terminal();
            cli::hash::password(&user, &mut input, terminal, &mut out)?;
            Ok(true)
        }
        Command::Backup { source, state, to, json } => {
            cli::backup::take(&source.into(), state, &to, json, &mut out)?;
            Ok(true)
        }
        Command::Restore { from, check: true, .. } => {
            cli::backup::check(&from, &mut out)?;
            Ok(true)
        }
        Command::Restore { source, state, from, services, check: false } => {
            cli::backup::restore(&source.into(), state, &from, &services, &mut out)?;
            Ok(true)
        }
        Command::New { name, dir } => {
            cli::new::run(&name, dir.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Compile { http } => {
            let http = match http.as_str() {
                "0.2" => HttpVersion::V02,
                "0.3" => HttpVersion::V03,
                other => anyhow::bail!("there is no wasi:http {other}"),
            };
            drop(out);
            let code = compile_stdin(http)?;
            std::process::exit(code);
        }
    }
}

fn serve(serve: Serve) -> anyhow::Result<bool> {
    wharf::telemetry::log::start();
    let program = std::env::current_exe().context("cannot find the wharf program to compile with")?;
    let options = Options {
        source: serve.source.into(),
        overrides: Overrides { listen: serve.listen, admin: serve.admin, plugins: serve.plugins, state: serve.state },
        compile_in: CompileIn::Child { program, arguments: vec!["compile".into()] },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(cli::serve::run(options));
    // A second signal means now: not when the last blocking read is done.
    runtime.shutdown_background();
    served?;
    Ok(true)
}
