//! Test vectors.
pub fn vectors() -> serde_json::Value {
    serde_json::Value::Null
}
