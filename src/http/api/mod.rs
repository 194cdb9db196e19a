//! The public HTTP interface: what a [`Backend`] answers under /api/v1, and the web interface everywhere else.
//!
//! This is the side that strangers reach: every request is bounded in size, rate and time, and nothing is written.

pub mod assets;
mod limit;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt, stream::BoxStream};
use limit::Limiter;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::HttpError;
use crate::{
    config::ApiSection,
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded,
        api::{ApiError, ApiRequest, SseMessage},
    },
};

const PREFIX: &str = "/api/v1/";
/// Longest path with its query.
const MAX_URI: usize = 2_048;
/// Streams that one address may hold: a few pages of a browser.
const STREAMS_PER_ADDRESS: usize = 12;
/// Silence after which a stream says that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the interface is asked.
pub trait Backend: Send + Sync + 'static {
    /// The answer to a path below /api/v1. May block for as long as a read of the store takes.
    fn answer(&self, request: &ApiRequest) -> Result<Value, ApiError>;

    /// Events from the place that `last_event_id` names.
    fn events(&self, request: &ApiRequest, last_event_id: Option<&str>) -> Result<BoxStream<'static, SseMessage>, ApiError>;
}

struct Shared {
    backend: Arc<dyn Backend>,
    section: ApiSection,
    limiter: Limiter,
    metrics: Metrics,
    stop: CancellationToken,
}

/// The service. Bound at once, so that a busy port is seen at start.
pub struct ApiServer {
    listener: Option<TcpListener>,
    address: SocketAddr,
    backend: Arc<dyn Backend>,
    section: ApiSection,
    metrics: Metrics,
}

impl ApiServer {
    pub async fn bind(address: SocketAddr, section: ApiSection, backend: Arc<dyn Backend>, metrics: Metrics) -> Result<Self, HttpError> {
        let listener = TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| HttpError::Listen { address, source })?;
        Ok(Self { listener: Some(listener), address, backend, section, metrics })
    }

    pub fn local_address(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait::async_trait]
impl Service for ApiServer {
    fn name(&self) -> &'static str {
        "api"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.address)
                .await
                .map_err(|source| Fault::recover(HttpError::Listen { address: self.address, source }))?,
        };
        let section = &self.section;
        let shared = Arc::new(Shared {
            backend: Arc::clone(&self.backend),
            section: section.clone(),
            limiter: Limiter::new(section.requests_per_second, section.burst, section.max_streams, STREAMS_PER_ADDRESS),
            metrics: self.metrics.clone(),
            stop: shutdown.intake.clone(),
        });
        let router = Router::new().fallback(serve).with_state(shared);
        let stop = shutdown.intake.clone();
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
            .map_err(|error| Fault::recover(HttpError::Serve(error)))
    }
}

async fn serve(State(shared): State<Arc<Shared>>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response<Body> {
    // Nobody sends a body here; what comes is dropped unread.
    let (request, _) = request.into_parts();
    let origin = allowed_origin(&shared.section.cors_origins, &request.headers);
    let client = client_of(&shared.section.trusted_proxies, peer.ip(), &request.headers);
    let mut response = match handle(&shared, client, &request).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    };
    let outcome = if response.status().is_client_error() || response.status().is_server_error() { "refused" } else { "ok" };
    shared.metrics.event("api_request", outcome);
    harden(response.headers_mut(), origin);
    response
}

async fn handle(shared: &Arc<Shared>, client: IpAddr, request: &Parts) -> Result<Response<Body>, ApiError> {
    let uri = &request.uri;
    if uri.path_and_query().is_some_and(|text| text.as_str().len() > MAX_URI) {
        return Err(ApiError::TooLong);
    }
    let now = Instant::now();
    shared.limiter.admit(client, now).map_err(|retry_after_seconds| ApiError::TooMany { retry_after_seconds })?;
    if request.method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(ApiError::Method);
    }
    let Some(path) = uri.path().strip_prefix(PREFIX) else {
        let is_api = uri.path() == "/api" || uri.path().starts_with("/api/");
        return if is_api { Err(ApiError::NoPath) } else { Ok(assets::serve(uri.path(), &request.headers)) };
    };
    let Query(query) =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| ApiError::parameter("query", error.to_string()))?;
    let question = ApiRequest { path: path.into(), query };
    if path == "events" && request.method == Method::GET {
        let seat = shared.limiter.seat(client, now).ok_or(ApiError::NoStream)?;
        let last = request.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
        let stop = shared.stop.clone().cancelled_owned();
        let messages = shared.backend.events(&question, last)?.take_until(stop).map(move |message| {
            let _held = &seat;
            Ok::<_, std::convert::Infallible>(framed(message))
        });
        return Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response());
    }
    let backend = Arc::clone(&shared.backend);
    let answer = tokio::task::spawn_blocking(move || backend.answer(&question)).await.map_err(|_| ApiError::Internal)??;
    Ok(answered(&answer, &request.headers))
}

fn framed(message: SseMessage) -> Event {
    let event = Event::default().event(message.kind).data(message.data);
    match message.id {
        Some(id) => event.id(id),
        None => event,
    }
}

/// With an ETag of its content; 304 where the client has it.
fn answered(answer: &Value, headers: &HeaderMap) -> Response<Body> {
    let body = answer.to_string();
    let tag = assets::tag_of(body.as_bytes());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|one| matches!(one.trim(), one if one == "*" || one.trim_start_matches("W/") == tag));
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(body)) };
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        set.insert(header::ETAG, tag);
    }
    response
}

fn refusal(error: &ApiError) -> Response<Body> {
    let body = json!({ "code": error.code(), "message": error.to_string(), "next": error.next_step() });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match error {
        ApiError::TooMany { retry_after_seconds } => {
            set.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
        }
        ApiError::Method => {
            set.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        _ => {}
    }
    response
}

/// The client's address: the peer's, or what a proxy that the operator trusts says about its own peer.
fn client_of(proxies: &[IpAddr], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !proxies.contains(&peer) {
        return peer;
    }
    let told = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    told.and_then(|list| list.rsplit(',').next()).and_then(|address| address.trim().parse().ok()).unwrap_or(peer)
}

/// The origin that may read the answer.
fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

fn harden(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("if-none-match, last-event-id"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, retry-after"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_last_word() {
        let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 9]));
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("1.1.1.1, 2.2.2.2"))]);
        assert_eq!(client_of(&[proxy], proxy, &headers), IpAddr::from([2, 2, 2, 2]));
        assert_eq!(client_of(&[proxy], stranger, &headers), stranger);
        let wrong = HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("nobody"))]);
        assert_eq!(client_of(&[proxy], proxy, &wrong), proxy);
    }

    #[test]
    fn origins_are_compared_whole() {
        let from = |origin: &'static str| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        let origins = ["https://a.example".to_string()];
        assert!(allowed_origin(&origins, &from("https://a.example")).is_some());
        assert!(allowed_origin(&origins, &from("https://a.example.evil.example")).is_none());
        assert!(allowed_origin(&[], &from("https://a.example")).is_none());
        assert_eq!(allowed_origin(&["*".into()], &from("https://b.example")).unwrap(), "*");
    }
}
