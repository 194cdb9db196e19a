//! What a renter wants to find running on the rented device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Longest image reference or name.
const MAX_IMAGE_BYTES: usize = 256;
/// Longest user name or password of a registry: tokens of cloud registries are a few kilobytes.
const MAX_LOGIN_BYTES: usize = 8_192;
const MAX_COMMAND_WORDS: usize = 64;
const MAX_COMMAND_BYTES: usize = 16_384;
const MAX_VARIABLES: usize = 128;
/// All variables together; the kernel's own limit is larger.
const MAX_ENVIRONMENT_BYTES: usize = 32_768;

/// Container, start command and environment of a rental. Everything may be left out.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    pub image: ImageChoice,
    /// Runs beside the renter's logins; empty runs nothing.
    pub command: Vec<String>,
    /// May hold secrets: names are shown, values never.
    pub env: BTreeMap<String, String>,
    /// Port of the container that the provider opens to everybody, where it allows that.
    pub publish: Option<u16>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageChoice {
    /// Whatever the provider offers.
    #[default]
    Default,
    /// Pulled from a registry.
    Registry { reference: String, login: Option<RegistryLogin> },
    /// One that the provider keeps, by name.
    Local { name: String },
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
}

/// Why a launch is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct LaunchError {
    pub what: &'static str,
    pub reason: String,
}

impl LaunchSpec {
    /// Shape and bounds; says nothing about what the provider allows.
    pub fn check(&self) -> Result<(), LaunchError> {
        self.image.check()?;
        if self.publish == Some(0) {
            return refuse("port", "0 is none");
        }
        bound("command", self.command.len(), MAX_COMMAND_WORDS, "words")?;
        bound("command", self.command.iter().map(String::len).sum(), MAX_COMMAND_BYTES, "bytes")?;
        if self.command.iter().any(|word| word.contains('\0')) {
            return refuse("command", "holds a zero byte");
        }
        bound("environment", self.env.len(), MAX_VARIABLES, "variables")?;
        bound("environment", self.env.iter().map(|(name, value)| name.len() + value.len()).sum(), MAX_ENVIRONMENT_BYTES, "bytes")?;
        for (name, value) in &self.env {
            let is_name = |(at, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
            if name.is_empty() || !name.bytes().enumerate().all(is_name) {
                return refuse("environment", format!("{name:?} is not a name of a variable"));
            }
            if value.contains('\0') {
                return refuse("environment", format!("the value of {name} holds a zero byte"));
            }
        }
        Ok(())
    }
}

impl ImageChoice {
    fn check(&self) -> Result<(), LaunchError> {
        match self {
            ImageChoice::Default => Ok(()),
            ImageChoice::Registry { reference, login } => {
                bound("image", reference.len(), MAX_IMAGE_BYTES, "bytes")?;
                // The characters of a distribution reference: host, port, path, tag, digest.
                let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
                let starts_well = reference.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
                if !starts_well || !reference.bytes().all(is_fitting) {
                    return refuse("image", format!("{reference:?} is not an image reference"));
                }
                match login {
                    Some(login) => bound("registry login", login.username.len() + login.password.len(), MAX_LOGIN_BYTES, "bytes"),
                    None => Ok(()),
                }
            }
            ImageChoice::Local { name } => {
                bound("image", name.len(), MAX_IMAGE_BYTES, "bytes")?;
                let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                // A name that starts with a dot could leave the provider's image folder.
                if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_fitting) {
                    return refuse("image", format!("{name:?} is not the name of an image"));
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImageChoice::Default => f.write_str("default"),
            ImageChoice::Registry { reference, .. } => f.write_str(reference),
            ImageChoice::Local { name } => write!(f, "local:{name}"),
        }
    }
}

/// `default`, `local:NAME`, or a reference.
impl std::str::FromStr for ImageChoice {
    type Err = LaunchError;

    fn from_str(text: &str) -> Result<Self, LaunchError> {
        let choice = match (text, text.strip_prefix("local:")) {
            ("default", _) => Self::Default,
            (_, Some(name)) => Self::Local { name: name.into() },
            _ => Self::Registry { reference: text.into(), login: None },
        };
        choice.check().map(|()| choice)
    }
}

impl std::fmt::Debug for ImageChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Debug for LaunchSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchSpec")
            .field("image", &self.image)
            .field("command_words", &self.command.len())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("publish", &self.publish)
            .finish()
    }
}

fn bound(what: &'static str, found: usize, limit: usize, unit: &str) -> Result<(), LaunchError> {
    if found <= limit { Ok(()) } else { refuse(what, format!("{found} {unit}, at most {limit} are allowed")) }
}

fn refuse(what: &'static str, reason: impl Into<String>) -> Result<(), LaunchError> {
    Err(LaunchError { what, reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_or_refused() {
        for good in ["default", "debian:12", "localhost:5000/a/b@sha256:00ff", "local:pytorch-2.4"] {
            assert_eq!(good.parse::<ImageChoice>().unwrap().to_string(), good);
        }
        for bad in ["", "-v", "a b", "local:", "local:../x", "local:.x", "a;rm", &"x".repeat(300)] {
            assert!(bad.parse::<ImageChoice>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed_and_bad_variables_are_refused() {
        let mut launch = LaunchSpec { env: BTreeMap::from([("TOKEN".into(), "s3cret".into())]), ..LaunchSpec::default() };
        launch.image = ImageChoice::Registry {
            reference: "r/x".into(),
            login: Some(RegistryLogin { username: "u".into(), password: "s3cret".into() }),
        };
        assert!(launch.check().is_ok());
        let printed = format!("{launch:?}");
        assert!(printed.contains("TOKEN") && !printed.contains("s3cret"), "{printed}");
        for (name, value) in [("", ""), ("1A", ""), ("A=B", ""), ("A", "\0")] {
            let launch = LaunchSpec { env: BTreeMap::from([(name.to_string(), value.to_string())]), ..LaunchSpec::default() };
            assert!(launch.check().is_err(), "{name:?} {value:?}");
        }
        assert!(LaunchSpec { publish: Some(0), ..LaunchSpec::default() }.check().is_err());
        let launch = LaunchSpec { command: vec!["x".into(); 65], ..LaunchSpec::default() };
        assert!(launch.check().is_err());
    }
}
