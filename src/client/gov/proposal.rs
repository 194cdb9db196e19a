//! Proposal files with named parameters, and proposals read back into the same words.

use std::path::Path;

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, JsonAbiExt},
    json_abi::{Function, Param},
    primitives::{Address, Bytes, U256},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Governed;
use crate::{
    client::ClientError,
    types::{Amount, amount::SYMBOL},
};

/// Values from here on are shown in tokens, too: a thousandth of a token in wei.
const SHOWN_AS_TOKENS: u64 = 1_000_000_000_000_000;

/// A proposal as its file says it: TOML, or JSON with the same keys.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub actions: Vec<Action>,
}

/// One call that the timelock shall make.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Name of a contract of this deployment, such as `StakingManager`.
    pub contract: String,
    pub function: String,
    /// By the names that the contract gives them; amounts as `"12.5 GPUTOKEN"` or in wei.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// An action as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EncodedAction {
    pub target: Address,
    pub data: Bytes,
}

/// An action read back from a chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecodedAction {
    pub target: Address,
    /// `None` for a contract that is not of this deployment.
    pub contract: Option<&'static str>,
    /// `None` for a function that this build does not know.
    pub function: Option<String>,
    pub arguments: Value,
    pub data: Bytes,
}

impl Proposal {
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        let text = std::fs::read_to_string(path).map_err(|source| ClientError::File { path: path.into(), source })?;
        let parsed = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        } else {
            toml::from_str(&text).map_err(|error| error.to_string())
        };
        parsed.map_err(|reason| ClientError::ProposalFile { path: path.into(), reason })
    }

    /// What goes on chain as the description: the title is its first line.
    pub fn text(&self) -> String {
        if self.description.is_empty() { format!("# {}", self.title) } else { format!("# {}\n\n{}", self.title, self.description) }
    }

    pub(super) fn encode(&self, known: &[Governed]) -> Result<Vec<EncodedAction>, ClientError> {
        if self.actions.is_empty() || self.title.trim().is_empty() {
            let reason = "a title and at least one action are needed".into();
            return Err(ClientError::Argument { argument: "actions".into(), reason });
        }
        self.actions.iter().map(|action| action.encode(known)).collect()
    }
}

impl Action {
    fn encode(&self, known: &[Governed]) -> Result<EncodedAction, ClientError> {
        let refuse = |argument: &str, reason: String| ClientError::Argument { argument: argument.into(), reason };
        let names = || known.iter().map(|contract| contract.name).collect::<Vec<_>>().join(", ");
        let contract = known.iter().find(|contract| contract.name == self.contract);
        let contract = contract.ok_or_else(|| refuse(&self.contract, format!("no such contract; there are {}", names())))?;
        let abi = contract.abi()?;
        let overloads = abi.functions.get(&self.function).map(Vec::as_slice).unwrap_or_default();
        let fits = |function: &&Function| function.inputs.len() == self.arguments.len();
        let function = overloads.iter().find(fits).or(overloads.first());
        let function = function.ok_or_else(|| refuse(&self.function, format!("{} has no such function", self.contract)))?;
        let values = fields(&self.function, &function.inputs, &self.arguments)?;
        let data = [function.selector().as_slice(), &DynSolValue::Tuple(values).abi_encode_params()].concat();
        Ok(EncodedAction { target: contract.address, data: data.into() })
    }
}

/// The values of `parameters` in their order, each given by its name and none too many.
fn fields(place: &str, parameters: &[Param], given: &Map<String, Value>) -> Result<Vec<DynSolValue>, ClientError> {
    let refuse = |argument: String, reason: String| ClientError::Argument { argument, reason };
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    if let Some(surplus) = given.keys().find(|key| !names.contains(&key.as_str())) {
        return Err(refuse(format!("{place}.{surplus}"), format!("not a parameter; there are {}", names.join(", "))));
    }
    let value = |parameter: &Param| {
        let place = format!("{place}.{}", parameter.name);
        let given = given.get(&parameter.name).ok_or_else(|| refuse(place.clone(), format!("missing, a {}", parameter.ty)))?;
        encode(&place, &parameter.ty, &parameter.components, given)
    };
    parameters.iter().map(value).collect()
}

fn encode(place: &str, kind: &str, components: &[Param], given: &Value) -> Result<DynSolValue, ClientError> {
    let refuse = |reason: String| ClientError::Argument { argument: place.into(), reason };
    if let Some(item) = kind.strip_suffix("[]") {
        let items = given.as_array().ok_or_else(|| refuse(format!("a list of {item} is needed")))?;
        let encoded = items.iter().enumerate().map(|(position, value)| encode(&format!("{place}[{position}]"), item, components, value));
        return Ok(DynSolValue::Array(encoded.collect::<Result<_, _>>()?));
    }
    if kind == "tuple" {
        let table = given.as_object().ok_or_else(|| refuse("a table of named values is needed".into()))?;
        return Ok(DynSolValue::Tuple(fields(place, components, table)?));
    }
    let text = match given {
        Value::String(text) if kind.starts_with("uint") && text.trim().ends_with(SYMBOL) => {
            Amount::parse_tokens(text).map_err(|error| refuse(error.to_string()))?.wei().to_string()
        }
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return Err(refuse(format!("a {kind} is needed"))),
    };
    let parsed = DynSolType::parse(kind).map_err(|error| refuse(error.to_string()))?;
    if kind == "string" {
        return Ok(DynSolValue::String(text));
    }
    parsed.coerce_str(&text).map_err(|_| refuse(format!("{text:?} is no {kind}")))
}

impl DecodedAction {
    pub(super) fn decode(known: &[Governed], target: Address, data: &Bytes) -> Self {
        let contract = known.iter().find(|contract| contract.address == target);
        let unknown = || Self {
            target,
            contract: contract.map(|contract| contract.name),
            function: None,
            arguments: Value::Null,
            data: data.clone(),
        };
        let Some((selector, input)) = data.split_first_chunk::<4>() else { return unknown() };
        let Some(abi) = contract.and_then(|contract| contract.abi().ok()) else { return unknown() };
        let Some(function) = abi.functions().find(|function| function.selector() == *selector) else { return unknown() };
        let Ok(values) = function.abi_decode_input(input) else { return unknown() };
        Self { function: Some(function.name.clone()), arguments: named(&function.inputs, &values), ..unknown() }
    }
}

fn named(parameters: &[Param], values: &[DynSolValue]) -> Value {
    let pairs = parameters.iter().zip(values);
    Value::Object(pairs.map(|(parameter, value)| (parameter.name.clone(), shown(parameter, value))).collect())
}

fn shown(parameter: &Param, value: &DynSolValue) -> Value {
    match value {
        DynSolValue::Tuple(values) | DynSolValue::CustomStruct { tuple: values, .. } => named(&parameter.components, values),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => values.iter().map(|value| shown(parameter, value)).collect(),
        DynSolValue::Bool(value) => json!(value),
        DynSolValue::Address(value) => json!(value),
        DynSolValue::String(text) => json!(text),
        // Exactly as a file would say it: tokens where they are meant, digits where not.
        DynSolValue::Uint(value, bits) if *bits > 64 && *value >= U256::from(SHOWN_AS_TOKENS) => {
            json!(format!("{} {SYMBOL}", Amount(*value)))
        }
        DynSolValue::Uint(value, _) => json!(value.to_string()),
        DynSolValue::Int(value, _) => json!(value.to_string()),
        DynSolValue::FixedBytes(word, size) => json!(Bytes::copy_from_slice(&word[..*size])),
        DynSolValue::Bytes(bytes) => json!(Bytes::copy_from_slice(bytes)),
        DynSolValue::Function(function) => json!(function.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::gov::contracts;

    fn book() -> crate::types::AddressBook {
        crate::types::AddressBook::for_tests()
    }

    fn proposal(text: &str) -> Result<Vec<EncodedAction>, ClientError> {
        toml::from_str::<Proposal>(text).unwrap().encode(&contracts(&book()))
    }

    const CLASS: &str = r#"
        title = "A class for 8 GB"
        [[actions]]
        contract = "StakingManager"
        function = "setClass"
        [actions.arguments]
        classVersion = 7
        required = "12.5 GPUTOKEN"
    "#;

    #[test]
    fn a_proposal_reads_back_as_it_was_written() {
        let book = book();
        let actions = proposal(CLASS).unwrap();
        let call = crate::types::abi::StakingManager::setClassCall { classVersion: 7, required: 12_500_000_000_000_000_000 };
        assert_eq!(actions[0].target, book.ethereum.staking_manager);
        assert_eq!(actions[0].data, Bytes::from(alloy::sol_types::SolCall::abi_encode(&call)));
        let decoded = DecodedAction::decode(&contracts(&book), actions[0].target, &actions[0].data);
        assert_eq!((decoded.contract, decoded.function.as_deref()), (Some("StakingManager"), Some("setClass")));
        assert_eq!(decoded.arguments, json!({ "classVersion": "7", "required": "12.5 GPUTOKEN" }));
        let again = Action {
            contract: "StakingManager".into(),
            function: "setClass".into(),
            arguments: decoded.arguments.as_object().unwrap().clone(),
        };
        assert_eq!(again.encode(&contracts(&book)).unwrap(), actions[0]);
    }

    #[test]
    fn structures_are_given_by_name() {
        let text = r#"
            title = "Longer unbonding"
            [[actions]]
            contract = "RentalCourt"
            function = "setParameters"
            [actions.arguments.parameters_]
            bond = "10 GPUTOKEN"
            judgeFee = "1 GPUTOKEN"
            committeeSize = 3
            drawDelay = 2
            verdictWindow = 120
            finalitySeconds = 60
        "#;
        let actions = proposal(text).unwrap();
        let decoded = DecodedAction::decode(&contracts(&book()), actions[0].target, &actions[0].data);
        assert_eq!(decoded.arguments["parameters_"]["bond"], "10 GPUTOKEN");
        assert_eq!(decoded.arguments["parameters_"]["verdictWindow"], "120");
        let short = text.replace("drawDelay = 2\n", "");
        assert!(proposal(&short).unwrap_err().to_string().contains("setParameters.parameters_.drawDelay"), "the missing one is named");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (CLASS.replace("StakingManager", "Staking"), "no such contract; there are GPUToken"),
            (CLASS.replace("setClass", "setClas"), "StakingManager has no such function"),
            (CLASS.replace("required =", "stake ="), "setClass.stake"),
            (CLASS.replace("\"12.5 GPUTOKEN\"", "\"much\""), "\"much\" is no uint128"),
            (CLASS.replace("classVersion = 7", "classVersion = -7"), "is no uint32"),
            (CLASS.replace("classVersion = 7", "classVersion = 4294967296"), "is no uint32"),
            (CLASS.replace("classVersion = 7", "classVersion = [7]"), "a uint32 is needed"),
            (CLASS.replace("A class for 8 GB", " "), "a title"),
        ];
        for (text, named) in cases {
            let told = proposal(&text).unwrap_err().to_string();
            assert!(told.contains(named), "{told}");
        }
        let raw = DecodedAction::decode(&contracts(&book()), Address::ZERO, &Bytes::from_static(&[1, 2, 3]));
        assert_eq!((raw.contract, raw.function, raw.data), (None, None, Bytes::from_static(&[1, 2, 3])));
    }
}
