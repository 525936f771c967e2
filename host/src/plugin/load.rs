//! From a file's bytes to a version that can be called: inspect, compile, link, probe.
//!
//! Nothing here touches what is being served; the caller publishes the result or keeps the reason.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{p2, p3};

use super::compile::{CompileError, Compiler};
use super::engine::{EngineError, Engines, HttpVersion};
use super::inspect::{InspectError, Inspection};
use super::linked::Linked;
use super::store::GuestState;
use super::version::Version;
use crate::capability::ServiceCapabilities;
use crate::config::Service;

/// Why a file did not become a version.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// It is no service that this host can run.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It did not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It needs what its service has not been granted.
    #[error("{0}")]
    NotGranted(String),
    /// Its imports or exports have other types than the host's.
    #[error("it does not fit this host: {0}")]
    Link(String),
}

/// A file to load.
#[derive(Debug, Clone)]
pub struct Source {
    /// The service's name.
    pub service: Arc<str>,
    /// The label from the file's name.
    pub label: Option<String>,
    /// The file's content.
    pub wasm: Bytes,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

/// Makes versions of files.
pub struct Loader {
    engines: Engines,
    compiler: Arc<Compiler>,
    linker_v02: Linker<GuestState>,
    linker_v03: Linker<GuestState>,
}

impl Loader {
    /// A loader for these engines.
    ///
    /// # Errors
    /// When the host's own interfaces do not link, which is a defect of this build.
    pub fn new(engines: Engines, compiler: Arc<Compiler>) -> Result<Self, EngineError> {
        let linker =
            |http| linker(&engines, http).map_err(|source| EngineError::Configuration { max_slots: 0, source });
        let (linker_v02, linker_v03) = (linker(HttpVersion::V02)?, linker(HttpVersion::V03)?);
        Ok(Self { engines, compiler, linker_v02, linker_v03 })
    }

    /// Inspects, compiles and links.
    ///
    /// # Errors
    /// See [`LoadError`]; each says what to do about the file.
    pub async fn load(
        &self,
        source: Source,
        capabilities: Arc<ServiceCapabilities>,
        settings: Arc<Service>,
    ) -> Result<Version, LoadError> {
        let inspection = Inspection::read(&source.wasm)?;
        let serves = inspection.runnable()?;
        if let Some(missing) = inspection.needs.missing(&settings.grants) {
            return Err(LoadError::NotGranted(missing));
        }
        let label = label(&source, &inspection);
        let component = self.compiler.compile(&self.engines, serves.engine, source.wasm, source.digest).await?;
        let linker = match serves.engine {
            HttpVersion::V02 => &self.linker_v02,
            HttpVersion::V03 => &self.linker_v03,
        };
        let linked = Linked::new(linker, &component, serves);
        let linked = linked.map_err(|error| LoadError::Link(format!("{error:#}")))?;
        let capabilities = Arc::new(capabilities.for_version(Arc::clone(&label)));
        let identity = (source.service, label, source.digest);
        let version = Version::new(identity, self.engines.clone(), linked, capabilities, settings);
        Ok(version.with_migrations(inspection.migrations).with_openapi(inspection.openapi))
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").finish_non_exhaustive()
    }
}

/// From the file's name, else the component's metadata, else the digest.
fn label(source: &Source, inspection: &Inspection) -> Arc<str> {
    source
        .label
        .clone()
        .or_else(|| inspection.version.clone())
        .unwrap_or_else(|| source.digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect())
        .into()
}

/// Everything a guest may import. Only what a component really imports costs it anything.
fn linker(engines: &Engines, http: HttpVersion) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engines.of(http));
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    if http == HttpVersion::V03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        p3::add_to_linker(&mut linker)?;
    }
    crate::capability::add_to_linker(&mut linker)?;
    Ok(linker)
}
