//! Bringing images onto this machine.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::{CreateImageInfo, ImageInspect},
    query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder},
};
use futures::{Stream, StreamExt};
use secrecy::ExposeSecret;
use tokio_util::io::ReaderStream;

use super::{
    super::{Credentials, ImageProgress, PreparedImage, SandboxError},
    archive::{self, Archive, Content},
    connect::{Connector, Engine, is_absent, one_line, patient, status},
    reference::{ImagePolicy, Reference, is_digest},
};

/// Repository of images that were made from archives; the tag is the hash of the file.
const ARCHIVES: &str = "localhost/gpumkt/archive";
/// Longest silence of a pull. Unpacking a large layer is silent.
const PULL_IDLE: Duration = Duration::from_secs(600);
/// Longest time an engine may take to unpack an archive.
const LOAD_LIMIT: Duration = Duration::from_secs(3_600);
/// Most layers of one image that progress is kept of. Engines allow 127.
const MAX_LAYERS: usize = 512;
/// Space beside the image that a pull may take before it is stopped.
const PULL_SLACK_BYTES: u64 = 1 << 30;

pub type Progress<'a> = &'a (dyn Fn(ImageProgress) + Send + Sync);

/// What images are taken from and held against.
pub struct Images<'a> {
    pub connector: &'a Connector,
    /// `None` allows everything: for what the provider itself has configured.
    pub policy: Option<&'a ImagePolicy>,
    pub limit_bytes: u64,
}

impl Images<'_> {
    pub async fn pull(&self, text: &str, credentials: Option<&Credentials>, progress: Progress<'_>) -> Result<PreparedImage, SandboxError> {
        let reference = Reference::parse(text)?;
        if let Some(policy) = self.policy {
            policy.check(&reference)?;
        }
        let engine = self.connector.engine().await?;
        self.fetch(&engine, &reference, credentials, progress).await?;
        let name = reference.to_string();
        let found = engine.docker.inspect_image(&name).await.map_err(|error| self.connector.fault("look at the pulled image", error))?;
        let size_bytes = size(&found);
        if size_bytes > self.limit_bytes {
            self.discard(&engine, &name).await;
            return Err(self.too_large(&name, size_bytes));
        }
        let digest = match reference.digest() {
            Some(digest) => digest.to_owned(),
            None => digest_of(&found, &reference)?,
        };
        prepared(&name, found, digest)
    }

    async fn fetch(
        &self,
        engine: &Arc<Engine>,
        reference: &Reference,
        credentials: Option<&Credentials>,
        progress: Progress<'_>,
    ) -> Result<(), SandboxError> {
        let tag = reference.digest().or(reference.tag()).unwrap_or_default();
        let options = CreateImageOptionsBuilder::default().from_image(reference.name()).tag(tag).build();
        let login = credentials.map(|credentials| DockerCredentials {
            username: Some(credentials.username.clone()),
            password: Some(credentials.password.expose_secret().to_owned()),
            serveraddress: Some(reference.host().to_owned()),
            ..DockerCredentials::default()
        });
        let free_before = free_bytes(&engine.storage);
        let docker = patient(&engine.docker, PULL_IDLE);
        let mut steps = std::pin::pin!(docker.create_image(Some(options), None, login));
        let mut layers = Layers::default();
        loop {
            let step = tokio::time::timeout(PULL_IDLE, steps.next()).await.map_err(|_| SandboxError::ImageUnavailable {
                reference: reference.to_string(),
                reason: format!("the pull has been silent for {} s", PULL_IDLE.as_secs()),
            })?;
            let Some(step) = step else { return Ok(()) };
            let step = step.map_err(|error| self.pull_fault(reference, error))?;
            let state = layers.take(step);
            // Dropping the stream ends the pull.
            if state.total_bytes > self.limit_bytes {
                return Err(self.too_large(&reference.to_string(), state.total_bytes));
            }
            let taken = free_before.and_then(|before| Some(before.saturating_sub(free_bytes(&engine.storage)?)));
            // Compressed and unpacked layers lie side by side until the end.
            if taken.is_some_and(|taken| taken > self.limit_bytes.saturating_mul(2).saturating_add(PULL_SLACK_BYTES)) {
                return Err(self.too_large(&reference.to_string(), taken.unwrap_or_default()));
            }
            progress(state);
        }
    }

    fn pull_fault(&self, reference: &Reference, error: Error) -> SandboxError {
        let reference = reference.to_string();
        let reason = match &error {
            Error::DockerStreamError { error } => one_line(error),
            Error::DockerResponseServerError { message, status_code: 401 | 403 | 404 | 500, .. } => one_line(message),
            _ => return self.connector.fault("pull an image", error),
        };
        let says = |words: &[&str]| words.iter().any(|word| reason.to_ascii_lowercase().contains(word));
        if says(&["unauthorized", "authentication required", "denied", "username/password", "no basic auth"]) {
            SandboxError::ImageLogin { reference, reason }
        } else if says(&["manifest unknown", "not found", "no such image", "name unknown", "unknown blob"]) {
            SandboxError::ImageNotFound { reference, reason }
        } else {
            SandboxError::ImageUnavailable { reference, reason }
        }
    }

    pub async fn load(&self, path: &Path, progress: Progress<'_>) -> Result<PreparedImage, SandboxError> {
        let refuse = |reason: String| SandboxError::ImageArchive { path: path.to_owned(), reason };
        let file = path.to_owned();
        progress(ImageProgress { message: "reading the archive".into(), done_bytes: 0, total_bytes: 0 });
        let examined = tokio::task::spawn_blocking(move || archive::examine(&file)).await;
        let found = examined.map_err(|error| refuse(error.to_string()))?.map_err(refuse)?;
        if found.size_bytes > self.limit_bytes {
            return Err(self.too_large(&path.display().to_string(), found.size_bytes));
        }
        let engine = self.connector.engine().await?;
        let name = format!("{ARCHIVES}:{}", found.hash);
        let digest = format!("sha256:{}", found.hash);
        match engine.docker.inspect_image(&name).await {
            Ok(known) => return prepared(&name, known, digest),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(self.connector.fault("look for the archive's image", error)),
        }
        let id = self.hand_over(&engine, path, &found, progress).await?;
        let loaded = engine.docker.inspect_image(&id).await.map_err(|error| self.connector.fault("look at the loaded image", error))?;
        if size(&loaded) > self.limit_bytes {
            self.discard(&engine, &id).await;
            return Err(self.too_large(&path.display().to_string(), size(&loaded)));
        }
        let tag = TagImageOptionsBuilder::default().repo(ARCHIVES).tag(&found.hash).build();
        engine.docker.tag_image(&id, Some(tag)).await.map_err(|error| self.connector.fault("name the loaded image", error))?;
        prepared(&name, loaded, digest)
    }

    /// Gives the archive to the engine and returns the id of the image that came out.
    async fn hand_over(&self, engine: &Engine, path: &Path, found: &Archive, progress: Progress<'_>) -> Result<String, SandboxError> {
        let refused = |error: Error, connector: &Connector| match (&error, status(&error)) {
            (Error::DockerStreamError { error }, _) => SandboxError::ImageArchive { path: path.to_owned(), reason: one_line(error) },
            (Error::DockerResponseServerError { message, .. }, Some(400 | 500)) => {
                SandboxError::ImageArchive { path: path.to_owned(), reason: one_line(message) }
            }
            _ => connector.fault("load an image archive", error),
        };
        progress(ImageProgress { message: "unpacking the archive".into(), done_bytes: 0, total_bytes: found.size_bytes });
        let docker = patient(&engine.docker, LOAD_LIMIT);
        let mut id = None;
        if found.content != Content::RootFileSystem {
            let options = ImportImageOptionsBuilder::default().build();
            let mut steps = std::pin::pin!(docker.import_image_stream(options, open(path).await?, None));
            let mut failure = None;
            while let Some(step) = steps.next().await {
                match step {
                    Ok(step) => id = step.stream.as_deref().and_then(loaded_name).or(id),
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                // A compressed root file system is no image archive; the engine has just said so.
                Some(error) if found.content == Content::Image => return Err(refused(error, self.connector)),
                _ => {}
            }
        }
        if id.is_none() && found.content != Content::Image {
            let options = CreateImageOptionsBuilder::default().from_src("-").build();
            let body = bollard::body_try_stream(open(path).await?);
            let mut steps = std::pin::pin!(docker.create_image(Some(options), Some(body), None));
            while let Some(step) = steps.next().await {
                let CreateImageInfo { id: new, status, .. } = step.map_err(|error| refused(error, self.connector))?;
                id = [new, status].into_iter().flatten().map(|text| text.trim().to_owned()).find(|text| is_digest(text)).or(id);
            }
        }
        progress(ImageProgress { message: "unpacked".into(), done_bytes: found.size_bytes, total_bytes: found.size_bytes });
        id.ok_or_else(|| SandboxError::EngineAnswer { action: "load an image archive", reason: "it names no image".into() })
    }

    fn too_large(&self, reference: &str, size_bytes: u64) -> SandboxError {
        SandboxError::ImageTooLarge { reference: reference.into(), size_bytes, limit_bytes: self.limit_bytes }
    }

    /// Forgets an image that may not stay. One that a container uses is kept by the engine.
    async fn discard(&self, engine: &Engine, name: &str) {
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        if let Err(error) = engine.docker.remove_image(name, Some(options), None).await {
            tracing::warn!(image = name, %error, "an image that is too large could not be removed");
        }
    }
}

async fn open(path: &Path) -> Result<impl Stream<Item = Result<tokio_util::bytes::Bytes, std::io::Error>> + Send + use<>, SandboxError> {
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| SandboxError::ImageArchive { path: path.to_owned(), reason: error.to_string() })?;
    Ok(ReaderStream::with_capacity(file, 1 << 20))
}

/// Podman names what it loaded by id or by names, Docker writes `Loaded image ID: sha256:…` for nameless ones.
fn loaded_name(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("Loaded image")?;
    let (_, names) = rest.split_once(": ")?;
    let first = names.split(',').next()?.trim();
    (!first.is_empty()).then(|| first.to_owned())
}

fn size(image: &ImageInspect) -> u64 {
    image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

fn digest_of(image: &ImageInspect, reference: &Reference) -> Result<String, SandboxError> {
    let digests = image.repo_digests.iter().flatten();
    let known = digests.filter_map(|text| Reference::parse(text).ok()).find(|known| known.name() == reference.name());
    let digest = known.as_ref().and_then(Reference::digest);
    digest.map(str::to_owned).ok_or_else(|| SandboxError::EngineAnswer {
        action: "look at the pulled image",
        reason: format!("it has no digest for {}", reference.name()),
    })
}

fn prepared(name: &str, image: ImageInspect, digest: String) -> Result<PreparedImage, SandboxError> {
    let unfit = |reason: String| SandboxError::ImageUnfit { image: name.to_owned(), reason };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match image.architecture.as_deref() {
        None | Some("") => {}
        Some(other) if other != architecture => return Err(unfit(format!("it is made for {other}, this machine is {architecture}"))),
        Some(_) => {}
    }
    let size_bytes = size(&image);
    let id = image.id.ok_or(SandboxError::EngineAnswer { action: "look at an image", reason: "it has no id".into() })?;
    let config = image.config.unwrap_or_default();
    let command = config.entrypoint.into_iter().flatten().chain(config.cmd.into_iter().flatten()).collect();
    Ok(PreparedImage { id, digest, size_bytes, command })
}

/// Free space of the file system at `path`; nothing where it cannot be told.
fn free_bytes(path: &PathBuf) -> Option<u64> {
    let space = nix::sys::statvfs::statvfs(path).ok()?;
    Some(space.blocks_available().saturating_mul(space.fragment_size()))
}

/// Progress of all layers of a pull.
#[derive(Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    fn take(&mut self, step: CreateImageInfo) -> ImageProgress {
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        if let (Some(id), Some(detail)) = (step.id.as_ref(), step.progress_detail.as_ref()) {
            let (done, total) = (number(detail.current), number(detail.total));
            let is_download = step.status.as_deref().is_none_or(|status| !status.starts_with("Extracting"));
            if total > 0 && is_download && (self.0.contains_key(id) || self.0.len() < MAX_LAYERS) {
                self.0.insert(id.clone(), (done, total));
            }
        }
        let sum = |part: fn(&(u64, u64)) -> u64| self.0.values().map(part).fold(0, u64::saturating_add);
        let message = one_line(&[step.id.unwrap_or_default(), step.status.unwrap_or_default()].join(" "));
        ImageProgress { message, done_bytes: sum(|layer| layer.0), total_bytes: sum(|layer| layer.1) }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn names_of_loaded_images_are_found_in_what_engines_say() {
        let id = "sha256:08166fa3347f7aadf12a83552dde812d7da055fb49094009bc3258bade97bddc";
        assert_eq!(loaded_name(&format!("Loaded image ID: {id}\n")).as_deref(), Some(id));
        assert_eq!(loaded_name("Loaded image: localhost/a:b,localhost/c:d").as_deref(), Some("localhost/a:b"));
        assert_eq!(loaded_name("something else: x"), None);
        assert_eq!(loaded_name("Loaded image: "), None);
    }

    #[test]
    fn progress_adds_up_over_layers_and_survives_nonsense() {
        let step = |id: &str, current, total| CreateImageInfo {
            id: Some(id.into()),
            status: Some("Downloading".into()),
            progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        };
        let mut layers = Layers::default();
        layers.take(step("a", 5, 10));
        let state = layers.take(step("b", 1, 30));
        assert_eq!((state.done_bytes, state.total_bytes), (6, 40));
        let state = layers.take(step("a", -1, i64::MAX));
        assert_eq!(state.done_bytes, 1);
        for layer in 0..2_000 {
            layers.take(step(&layer.to_string(), 1, i64::MAX));
        }
        assert!(layers.0.len() <= MAX_LAYERS);
    }
}
