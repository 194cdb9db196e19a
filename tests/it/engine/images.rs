//! Images from archives and from a registry.

use std::{fs, process::Command, sync::Mutex};

use gpumkt::{
    sandbox::{Credentials, DefaultImage, EngineOptions, EngineRuntime, ImagePolicy, ImageSource, Runtime, SandboxError},
    types::Coded,
};

use super::{
    NO_GRACE,
    harness::{DEADLINE, Podman, Registry},
};

async fn prepare(runtime: &EngineRuntime, image: ImageSource) -> Result<gpumkt::sandbox::PreparedImage, SandboxError> {
    runtime.prepare(&image, &|_| ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_every_kind_become_images_once() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    let archive = podman.root_archive();
    let messages = Mutex::new(Vec::new());
    let progress = |step: gpumkt::sandbox::ImageProgress| messages.lock().unwrap().push(step.message);
    let first = runtime.prepare(&ImageSource::Archive(archive.clone()), &progress).await.unwrap();
    assert!(first.digest.starts_with("sha256:") && first.size_bytes > 0 && first.command.is_empty(), "{first:?}");
    assert!(messages.lock().unwrap().iter().any(|message| message.contains("unpack")));
    assert_eq!(prepare(&runtime, ImageSource::Archive(archive.clone())).await.unwrap(), first);

    // With a start command, a volume and a hostile environment of its own.
    let changes = ["--change", "ENTRYPOINT [\"/bin/echo\"]", "--change", "CMD [\"hello\"]", "--change", "VOLUME /data"];
    let archive_text = archive.to_str().unwrap().to_owned();
    podman
        .run(&[&["import"][..], &changes, &["--change", "ENV NVIDIA_VISIBLE_DEVICES=all", &archive_text, "localhost/made:here"]].concat());
    let root = podman.run(&["ps", "--all", "--quiet"]);
    assert_eq!(root, "");
    for (format, name) in [("docker-archive", "docker.tar"), ("oci-archive", "oci.tar")] {
        let file = podman.at(name);
        podman.run(&["save", "--format", format, "--output", file.to_str().unwrap(), "localhost/made:here"]);
        let image = prepare(&runtime, ImageSource::Archive(file)).await.unwrap();
        assert_eq!(image.command, ["/bin/echo", "hello"], "{format}");
    }
    assert!(Command::new("gzip").arg("--keep").arg(podman.at("root.tar")).status().unwrap().success());
    let zipped = prepare(&runtime, ImageSource::Archive(podman.at("root.tar.gz"))).await.unwrap();
    assert_ne!(zipped.digest, first.digest);

    // The image's volume is memory of the container, not disk of the machine.
    let mut rental = podman.rental(&runtime, 71).await;
    rental.spec.image = prepare(&runtime, ImageSource::Archive(podman.at("oci.tar"))).await.unwrap().id;
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    assert!(rental.ok("df /data | tail -1").await.starts_with("tmpfs"));
    assert_eq!(rental.ok("echo $NVIDIA_VISIBLE_DEVICES").await, "void");
    assert_eq!(podman.run(&["volume", "ls", "--quiet"]), "");
    runtime.stop(71, NO_GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_cannot_be_used_are_refused() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    fs::write(podman.at("noise"), b"not an archive at all").unwrap();
    let mut broken = fs::read(podman.root_archive()).unwrap();
    broken.truncate(broken.len() / 2);
    fs::write(podman.at("broken.tar"), broken).unwrap();
    for name in ["noise", "absent", "broken.tar"] {
        let error = prepare(&runtime, ImageSource::Archive(podman.at(name))).await.unwrap_err();
        assert_eq!(error.code(), "E-SANDBOX-041", "{name}: {error}");
    }
    let small = EngineRuntime::new(EngineOptions { max_image_bytes: 1 << 20, ..podman.options() });
    let error = prepare(&small, ImageSource::Archive(podman.root_archive())).await.unwrap_err();
    assert_eq!(error.code(), "E-SANDBOX-040", "{error}");
    assert_eq!(prepare(&runtime, ImageSource::Default).await.unwrap_err().code(), "E-SANDBOX-042");
    let default =
        EngineRuntime::new(EngineOptions { default_image: Some(DefaultImage::Archive(podman.root_archive())), ..podman.options() });
    prepare(&default, ImageSource::Default).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_pulled_by_tag_and_digest_with_the_renters_login() {
    let podman = Podman::start().await;
    let registry = Registry::start(&podman).await;
    let allowed = ImagePolicy { allowed: vec![format!("{}/team/", registry.host)] };
    let runtime = EngineRuntime::new(EngineOptions { image_policy: allowed.clone(), ..podman.options() });
    let local = prepare(&runtime, ImageSource::Archive(podman.root_archive())).await.unwrap();
    let login = format!("{}:{}", Registry::USER, Registry::PASSWORD);
    let place = format!("docker://{}/team/box:v1", registry.host);
    podman.run(&["push", "--tls-verify=false", "--creds", &login, local.id.trim_start_matches("sha256:"), &place]);
    podman.run(&["rmi", "--all", "--force"]);

    let credentials = |password: &str| Some(Credentials { username: Registry::USER.into(), password: password.to_owned().into() });
    let pull = async |rest: &str, credentials| {
        prepare(&runtime, ImageSource::Registry { reference: format!("{}/{rest}", registry.host), credentials }).await
    };
    for wrong in [None, credentials("mirror")] {
        let error = pull("team/box:v1", wrong).await.unwrap_err();
        assert_eq!(error.code(), "E-SANDBOX-039", "{error}");
        assert!(!error.to_string().contains("mirror"), "{error}");
    }
    let by_tag = pull("team/box:v1", credentials(Registry::PASSWORD)).await.unwrap();
    let by_digest = pull(&format!("team/box@{}", by_tag.digest), credentials(Registry::PASSWORD)).await.unwrap();
    assert_eq!(by_tag, by_digest);
    // The login was for that pull only.
    assert_eq!(pull("team/box:v1", None).await.unwrap_err().code(), "E-SANDBOX-039");
    assert_eq!(pull("team/box:v2", credentials(Registry::PASSWORD)).await.unwrap_err().code(), "E-SANDBOX-052");
    assert_eq!(pull("other/box:v1", credentials(Registry::PASSWORD)).await.unwrap_err().code(), "E-SANDBOX-037");
    assert_eq!(pull("team/../x", None).await.unwrap_err().code(), "E-SANDBOX-036");

    let any = podman.runtime();
    let inner = ImageSource::Registry { reference: format!("{}/team/box:v1", registry.host), credentials: None };
    assert_eq!(prepare(&any, inner).await.unwrap_err().code(), "E-SANDBOX-037", "a registry on the provider's own network");

    let small = EngineRuntime::new(EngineOptions { max_image_bytes: 1 << 19, image_policy: allowed, ..podman.options() });
    podman.run(&["rmi", "--all", "--force"]);
    let source =
        ImageSource::Registry { reference: format!("{}/team/box:v1", registry.host), credentials: credentials(Registry::PASSWORD) };
    assert_eq!(prepare(&small, source).await.unwrap_err().code(), "E-SANDBOX-040");
    assert_eq!(podman.run(&["images", "--quiet"]), "", "what is too large does not stay");
}
