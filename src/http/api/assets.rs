//! The web interface, embedded by `build.rs`; without it, a page that says how to get it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use sha2::{Digest, Sha256};

/// Path below the interface's folder, and content.
type Asset = (&'static str, &'static [u8]);

/// Sorted by path; empty where the program was built without the interface.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>gpumkt</title><h1>gpumkt</h1><p>This program was built \
    without its web interface. Build it with <code>make dapp</code>, then build the program again.</p><p>The HTTP interface is there all the \
    same: <a href=\"/api/v1/openapi.json\">its description</a>, <a href=\"/api/v1/network\">the network</a>, \
    <a href=\"/api/v1/offers\">offers</a>.</p></html>";
/// A file with a hash in its name never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Nothing from elsewhere, nothing inline. A wallet is injected by the browser and talks to its own nodes.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file of a path; the interface's own paths all are its index.
pub fn serve(path: &str, headers: &HeaderMap) -> Response<Body> {
    let name = path.trim_start_matches('/');
    let found = find(name);
    // What looks like a file is one, or it is missing.
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let (name, content, status) = match found {
        Some(content) => (name, content, StatusCode::OK),
        None if is_file => ("missing.txt", &b"no such file\n"[..], StatusCode::NOT_FOUND),
        None => ("index.html", find("index.html").unwrap_or(MISSING.as_bytes()), StatusCode::OK),
    };
    let tag = tag_of(content);
    let mut response = Response::new(Body::empty());
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    *response.status_mut() = if is_known && status == StatusCode::OK { StatusCode::NOT_MODIFIED } else { status };
    if response.status() != StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::from(content);
    }
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(type_of(name)));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(if is_hashed(name) { FOREVER } else { "no-cache" }));
    set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        set.insert(header::ETAG, tag);
    }
    response
}

fn find(name: &str) -> Option<&'static [u8]> {
    let at = ASSETS.binary_search_by_key(&name, |(path, _)| path).ok()?;
    ASSETS.get(at).map(|(_, content)| *content)
}

/// Strong ETag of a content.
pub fn tag_of(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// `name-abcdef12.js`, as bundlers write it.
fn is_hashed(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    let Some((stem, _)) = file.split_once('.') else { return false };
    stem.rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() >= 8 && hash.chars().all(|character| character.is_ascii_alphanumeric() || character == '_'))
}

fn type_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        assert!(is_hashed("assets/index-DiwrgTda.js") && is_hashed("a-0123456789abcdef.css"));
        assert!(!is_hashed("index.html") && !is_hashed("assets/app-v2.js") && !is_hashed("favicon.svg"));
    }

    #[test]
    fn pages_of_the_interface_are_its_index_and_missing_files_are_missing() {
        let none = HeaderMap::new();
        assert_eq!(serve("/rentals/7", &none).status(), StatusCode::OK);
        assert_eq!(serve("/assets/none-12345678.js", &none).status(), StatusCode::NOT_FOUND);
        assert_eq!(serve("/../../etc/passwd", &none).headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let page = serve("/", &none);
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("unsafe"), "{policy}");
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, page.headers()[header::ETAG].clone())]);
        assert_eq!(serve("/", &known).status(), StatusCode::NOT_MODIFIED);
    }
}
