//! Answers against docs/openapi.json: the part of JSON Schema that it uses, and nothing that is not in it.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("docs/openapi.json is JSON"));

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 3] = ["description", "example", "default"];

/// The template of a path below /api/v1: `/offers/{id}` for `/offers/7`.
fn template(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let names: Vec<&str> = template.split('/').collect();
        names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| name == part || name.starts_with('{'))
    };
    let all = DESCRIPTION["paths"].as_object().unwrap().keys();
    all.map(String::as_str).find(|template| fits(template)).unwrap_or_else(|| panic!("{path} is not described"))
}

/// Every path that is described, parameters in braces.
pub fn paths() -> Vec<&'static str> {
    DESCRIPTION["paths"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// Panics where the answer to `path` is not what the description says for `status`.
pub fn check(path: &str, status: u16, answer: &Value) {
    let responses = &DESCRIPTION["paths"][template(path)]["get"]["responses"];
    let response = resolve(&responses[status.to_string()]);
    assert!(response.is_object(), "{path}: {status} is not described");
    let problem = problem(&response["content"]["application/json"]["schema"], answer, "answer");
    assert_eq!(problem, None, "{path}: {answer:#}");
}

/// The same for a part that the description names.
pub fn check_as(name: &str, value: &Value) {
    assert_eq!(problem(&DESCRIPTION["components"]["schemas"][name], value, name), None, "{value:#}");
}

fn resolve(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolve(DESCRIPTION.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere")),
        None => schema,
    }
}

fn problem(schema: &'static Value, value: &Value, at: &str) -> Option<String> {
    let schema = resolve(schema);
    let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: no schema"));
    rules.iter().find_map(|(keyword, rule)| broken(schema, keyword, rule, value, at))
}

fn broken(schema: &'static Value, keyword: &str, rule: &'static Value, value: &Value, at: &str) -> Option<String> {
    let unless = |holds: bool, what: String| (!holds).then(|| format!("{at}: {what}"));
    match keyword {
        "type" => unless(has_type(rule.as_str().unwrap(), value), format!("{value} is no {rule}")),
        "enum" => unless(rule.as_array().unwrap().contains(value), format!("{value} is none of {rule}")),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
            value.as_str().and_then(|text| unless(pattern.is_match(text), format!("{text:?} does not match {rule}")))
        }
        "required" => {
            let missing = rule.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
            missing.map(|name| format!("{at}: {name} is missing"))
        }
        "properties" => {
            let known = rule.as_object().unwrap().iter();
            let mut present = known.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
            present.find_map(|(name, schema, value)| problem(schema, value, &format!("{at}.{name}")))
        }
        "additionalProperties" => {
            let known = schema["properties"].as_object().unwrap();
            let unknown = value.as_object()?.keys().find(|name| !known.contains_key(*name));
            unknown.map(|name| format!("{at}: {name} is not described"))
        }
        "items" => {
            let mut items = value.as_array()?.iter().enumerate();
            items.find_map(|(position, item)| problem(rule, item, &format!("{at}[{position}]")))
        }
        "maxItems" => unless(value.as_array()?.len() as u64 <= rule.as_u64().unwrap(), "too long".into()),
        "anyOf" => {
            let problems: Vec<_> = rule.as_array().unwrap().iter().map(|schema| problem(schema, value, at)).collect();
            if problems.iter().any(Option::is_none) { None } else { problems.into_iter().next().flatten() }
        }
        "allOf" => rule.as_array().unwrap().iter().find_map(|schema| problem(schema, value, at)),
        _ => unless(ANNOTATIONS.contains(&keyword), format!("this test does not know {keyword}")),
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("a type that no integer may have: {other}"),
    }
}
