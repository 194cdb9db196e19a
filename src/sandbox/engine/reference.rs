//! References of images, and which of them a provider allows.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use serde::{Deserialize, Serialize};

use super::{super::SandboxError, firewall};

/// Registry of references that name none, by the convention of every engine.
const DEFAULT_REGISTRY: &str = "docker.io";
const LONGEST: usize = 512;

/// Which images a provider runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagePolicy {
    /// Digests (`sha256:…`) and beginnings of references (`docker.io/library/`); empty allows every public one.
    pub allowed: Vec<String>,
}

impl ImagePolicy {
    /// Whether a reference may be fetched at all. A registry inside the provider's network has to be allowed by name: otherwise a
    /// renter could make the engine talk to any address there.
    pub fn check(&self, reference: &Reference) -> Result<(), SandboxError> {
        let forbidden = |reason: &str| Err(SandboxError::ImageForbidden { reference: reference.to_string(), reason: reason.into() });
        let by_name = self.allows_name(reference);
        if is_inner_host(reference.host()) && !by_name {
            return forbidden("its registry is inside the provider's network and not on the list of allowed images");
        }
        if self.allowed.is_empty() || by_name || self.allows_digest(reference.digest()) {
            return Ok(());
        }
        // The digest behind a tag is only known after the pull.
        if reference.digest().is_none() && self.allowed.iter().any(|entry| entry.starts_with("sha256:")) {
            return forbidden("only named digests are allowed: write the reference with its digest");
        }
        forbidden("it is not on the list of allowed images")
    }

    fn allows_name(&self, reference: &Reference) -> bool {
        let name = reference.to_string();
        self.allowed.iter().filter(|entry| !entry.starts_with("sha256:")).any(|entry| {
            // A beginning ends where a part of the name ends: `registry.example/a` does not allow `registry.example/ab`.
            name.strip_prefix(entry.as_str())
                .is_some_and(|rest| rest.is_empty() || entry.ends_with('/') || rest.starts_with(['/', ':', '@']))
        })
    }

    fn allows_digest(&self, digest: Option<&str>) -> bool {
        digest.is_some_and(|digest| self.allowed.iter().any(|entry| entry == digest))
    }
}

/// Whether a host is certainly not a public registry. A name that resolves to an inner address is for the operator's own filter.
fn is_inner_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return !firewall::is_public(address);
    }
    // Resolvers read 0x7f000001, 2130706433 and 127.1 as addresses as well.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|letter: char| letter.is_ascii_digit()) {
        return name.parse::<Ipv4Addr>().is_err();
    }
    !name.contains('.') || ["localhost", "local", "internal", "lan", "home", "arpa"].contains(&last)
}

/// A reference with everything that engines would fill in by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `registry.example:5000/team/name`
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, SandboxError> {
        let refuse = |reason| SandboxError::ImageReference { reference: text.chars().take(LONGEST).collect(), reason };
        if text.is_empty() || text.len() > LONGEST {
            return Err(refuse("it is empty or too long"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(refuse("after @ comes sha256: and 64 lower-case hexadecimal digits")),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("the tag has characters that tags do not have"));
        }
        let (host, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, path.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{path}")),
        };
        if !is_host(host) {
            return Err(refuse("the registry is not a host name with an optional port"));
        }
        if !repository.split('/').all(is_component) {
            return Err(refuse("a part of the name is empty or has characters that names do not have"));
        }
        let tag = if digest.is_some() { None } else { Some(tag.unwrap_or_else(|| "latest".into())) };
        Ok(Self { name: format!("{host}/{repository}"), tag, digest })
    }

    pub fn host(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "{}@{digest}", self.name),
            (None, Some(tag)) => write!(f, "{}:{tag}", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128 && text.bytes().next().is_some_and(word) && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && text.bytes().next().is_some_and(word)
        && text.bytes().last().is_some_and(word)
        && !text.contains("..")
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let port = if port.is_empty() { None } else { port.strip_prefix(':').or(Some("")) };
            return address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) && port.is_none_or(|port| port.parse::<u16>().is_ok());
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    port.is_none_or(|port| port.parse::<u16>().is_ok()) && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn full(text: &str) -> String {
        Reference::parse(text).unwrap().to_string()
    }

    #[test]
    fn short_references_are_completed_as_engines_do() {
        assert_eq!(full("ubuntu"), "docker.io/library/ubuntu:latest");
        assert_eq!(full("team/tool:1.2"), "docker.io/team/tool:1.2");
        assert_eq!(full("127.0.0.1:5000/box"), "127.0.0.1:5000/box:latest");
        assert_eq!(full("[::1]:5000/box"), "[::1]:5000/box:latest");
        assert_eq!(full(&format!("quay.io/a/b:tag@{DIGEST}")), format!("quay.io/a/b@{DIGEST}"));
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long = "a".repeat(600);
        let short_digest = "a@sha256:00";
        for text in [
            "",
            "UPPER",
            "a//b",
            "a:b c",
            "../a",
            "a/../b",
            "http://x/y",
            "x.y/",
            "x.y:port/a",
            "a@b",
            "-x.y/a",
            "a?b=c",
            "a\nb",
            short_digest,
            &long,
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_list_of_allowed_images_holds_at_the_ends_of_names() {
        let policy = |entries: &[&str]| ImagePolicy { allowed: entries.iter().map(|entry| (*entry).to_owned()).collect() };
        let allows = |policy: &ImagePolicy, text: &str| policy.check(&Reference::parse(text).unwrap()).is_ok();
        let any = policy(&[]);
        assert!(allows(&any, "ubuntu") && allows(&any, "ghcr.io/a/b@".to_owned().as_str().trim_end_matches('@')));
        let listed = policy(&["docker.io/library/", "quay.io/team/tool", DIGEST]);
        assert!(allows(&listed, "ubuntu:22.04") && allows(&listed, "quay.io/team/tool:2") && allows(&listed, "quay.io/team/tool/sub"));
        assert!(allows(&listed, &format!("ghcr.io/any/thing@{DIGEST}")));
        for text in ["quay.io/team/toolbox", "ghcr.io/a/b", "docker.io/other/x"] {
            assert!(!allows(&listed, text), "{text}");
        }
    }

    #[test]
    fn registries_inside_the_network_need_to_be_allowed_by_name() {
        let any = ImagePolicy::default();
        for host in [
            "127.0.0.1:5000",
            "localhost",
            "10.1.2.3",
            "169.254.169.254",
            "[::1]:80",
            "[fd00::1]",
            "0x7f000001.1",
            "127.1",
            "nas.local",
            "a.localhost",
            "registry:5000",
        ] {
            let reference = Reference::parse(&format!("{host}/box")).unwrap();
            assert!(any.check(&reference).is_err(), "{host}");
            assert!(ImagePolicy { allowed: vec![format!("{host}/")] }.check(&reference).is_ok(), "{host}");
            assert!(
                ImagePolicy { allowed: vec![DIGEST.into()] }.check(&Reference::parse(&format!("{host}/box@{DIGEST}")).unwrap()).is_err()
            );
        }
        assert!(any.check(&Reference::parse("8.8.8.8/box").unwrap()).is_ok());
    }
}
