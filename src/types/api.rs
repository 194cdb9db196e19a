//! What the public HTTP interface refuses, in the form that everybody sees. docs/openapi.json describes the interface.

use super::Coded;

/// A refusal. Codes never change their meaning: programs depend on them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("there is no such path")]
    NoPath,
    #[error("parameter {name}: {reason}")]
    Parameter { name: String, reason: String },
    #[error("the cursor does not belong to this list")]
    Cursor,
    #[error("there is no {what}")]
    NotFound { what: String },
    #[error("too many requests from this address")]
    TooMany { retry_after_seconds: u64 },
    #[error("the index has not caught up with the chains yet")]
    NotReady,
    #[error("only GET and HEAD are answered here")]
    Method,
    #[error("all event streams are taken")]
    NoStream,
    #[error("the request is too long")]
    TooLong,
    #[error("the index cannot be read")]
    Internal,
}

impl ApiError {
    pub fn parameter(name: &str, reason: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), reason: reason.into() }
    }

    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// Status of the HTTP answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Parameter { .. } | Self::Cursor => 400,
            Self::NoPath | Self::NotFound { .. } => 404,
            Self::Method => 405,
            Self::TooLong => 414,
            Self::TooMany { .. } => 429,
            Self::Internal => 500,
            Self::NotReady | Self::NoStream => 503,
        }
    }
}

impl Coded for ApiError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoPath => "E-API-001",
            Self::Parameter { .. } => "E-API-002",
            Self::Cursor => "E-API-003",
            Self::NotFound { .. } => "E-API-004",
            Self::TooMany { .. } => "E-API-005",
            Self::NotReady => "E-API-006",
            Self::Method => "E-API-007",
            Self::NoStream => "E-API-008",
            Self::TooLong => "E-API-009",
            Self::Internal => "E-API-010",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::NoPath => "read /api/v1/openapi.json for the paths that there are".into(),
            Self::Parameter { name, .. } => format!("correct {name}; /api/v1/openapi.json says what it may be"),
            Self::Cursor => "start again without a cursor, and keep filters and order while you page".into(),
            Self::NotFound { .. } => "check the number or address; what a reorganisation removed may come back".into(),
            Self::TooMany { retry_after_seconds } => format!("wait {retry_after_seconds} s, and use /api/v1/events instead of polling"),
            Self::NotReady => "ask again in a few seconds; /api/v1/network tells how far it is".into(),
            Self::Method => "use GET; transactions go to the chains themselves".into(),
            Self::NoStream => "close streams that you do not need, or ask again later".into(),
            Self::TooLong => "shorten the request".into(),
            Self::Internal => "ask again; if it stays, tell the operator of this node".into(),
        }
    }
}

/// A question to the index: path below `/api/v1`, and the decoded query in the order it was written.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    pub path: String,
    pub query: Vec<(String, String)>,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseMessage {
    /// Where to continue after it; `None` where the position does not move.
    pub id: Option<String>,
    pub kind: &'static str,
    pub data: String,
}
