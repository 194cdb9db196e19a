//! `earnings` and `price`: what a provider gets, and what others ask.

use super::{
    args::{EarningsArgs, PriceArgs},
    commands::{Outcome, load, reader},
    render::{duration, output, table},
};
use crate::client::{
    Clients,
    earnings::{self, Earnings},
};

pub(super) async fn show(args: &EarningsArgs, json: bool) -> Outcome {
    let config = load(&args.node)?;
    let clients = reader(&config).await?;
    let provider = args.account.map_or_else(|| Clients::account_of(&config), Ok)?;
    let earnings = earnings::earnings(&clients, provider, args.since).await?;
    if args.csv {
        print!("{}", earnings.to_csv());
        return Ok(());
    }
    output(json, &earnings, render);
    Ok(())
}

fn render(earnings: &Earnings) -> String {
    if earnings.rentals.is_empty() {
        return format!("No rentals yet. Claimable: {} GPUTOKEN", earnings.claimable_wei);
    }
    let rows = earnings.rentals.iter().map(|rental| {
        vec![
            rental.rental.to_string(),
            rental.device.to_string(),
            format!("{:?}", rental.state).to_lowercase(),
            duration(rental.rented_seconds),
            duration(rental.verified_seconds),
            format!("{}/{}", rental.challenges_passed, rental.challenges_due),
            rental.paid_wei.to_string(),
            rental.refunded_wei.to_string(),
            rental.renter.to_string(),
        ]
    });
    let header = ["rental", "device", "state", "time", "verified", "passed", "paid", "refunded", "renter"];
    format!(
        "{}\n{} rentals, {} rented, {} verified, {} of {} challenges passed\npaid {} GPUTOKEN, of which not yet claimed {}",
        table(&header, rows.collect()),
        earnings.rentals.len(),
        duration(earnings.rented_seconds),
        duration(earnings.verified_seconds),
        earnings.challenges_passed,
        earnings.challenges_due,
        earnings.paid_wei,
        earnings.claimable_wei
    )
}

pub(super) async fn price(args: &PriceArgs, json: bool) -> Outcome {
    let clients = reader(&load(&args.node)?).await?;
    let suggestion = earnings::suggest_price(&clients, args.class).await?;
    output(json, &suggestion, |suggestion| match suggestion {
        None => format!("Nobody offers class {}: there is no price to compare with.", args.class),
        Some(found) => format!(
            "class {}, {} offers, GPUTOKEN per hour at reference speed: {} to {}, median {}{}; suggested {}",
            found.class_version,
            found.offers,
            found.low_wei,
            found.high_wei,
            found.median_wei,
            found.rented_median_wei.map_or_else(String::new, |rented| format!(", of rented ones {rented}")),
            found.suggested_wei
        ),
    });
    Ok(())
}
