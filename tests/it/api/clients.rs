//! The generated clients, as their users would run them.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    desk::{Desk, generous},
    offer_device,
};

const PYTHON: &str = r#"
import json, sys
from gpumkt import ApiError, Client
client = Client(sys.argv[1])
try:
    client.get_offer("999")
except ApiError as error:
    refused = [error.status, error.code]
offers = [offer["id"] for offer in client.all(client.list_offers, sort="price", limit="1")]
quote = client.get_quote("1", duration_seconds="60")
print(json.dumps({"refused": refused, "offers": offers, "rent": quote["rent_wei"], "chain": client.get_config()["ethereum"]["chain_id"]}))
"#;
const NODE: &str = r#"
const { ApiError, Client } = await import(process.argv[2]);
const client = new Client(process.argv[1]);
const refused = await client.getOffer('999').catch((error) => [error.status, error.code, error instanceof ApiError]);
const offers = [];
for await (const offer of client.all((cursor) => client.listOffers({ sort: 'price', limit: '1', cursor }))) offers.push(offer.id);
const quote = await client.getQuote('1', { duration_seconds: '60' });
const config = await client.getConfig();
console.log(JSON.stringify({ refused: refused.slice(0, 2), offers, rent: quote.rent_wei, chain: config.ethereum.chain_id }));
"#;

async fn run(command: &mut Command) -> Value {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_clients_read_the_market() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = Command::new("node").arg(root.join("scripts/api-clients.mjs")).arg("--check").output().await.unwrap();
    assert!(fresh.status.success(), "{}", String::from_utf8_lossy(&fresh.stderr));
    let desk = Desk::new().await;
    offer_device(&desk).await;
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), generous()).await;
    served.until("/offers", "two offers", |page| page["items"].as_array().is_some_and(|all| all.len() == 2)).await;
    let origin = format!("http://{}", served.address);
    let wanted = json!({ "refused": [404, "E-API-004"], "offers": ["1", "2"], "rent": "60000000000000000", "chain": "31301" });
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, &origin]).env("PYTHONPATH", root.join("clients/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    assert_eq!(run(&mut python).await, wanted);
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-e", NODE, &origin]).arg(root.join("clients/typescript/gpumkt.mjs"));
    assert_eq!(run(&mut node).await, wanted);
    served.stop().await;
}
