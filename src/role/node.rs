//! What every tier starts with: configuration, keys, database, chains, network, health.

use std::{net::SocketAddr, sync::Arc};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};

use super::{
    bridge::books,
    error::boxed,
    startup::{account_of, check_kings, follow, net_config},
    watch::{network_report, webhook},
};
use crate::{
    chain::{Chain, ChainConfig},
    config::NodeConfig,
    http::HttpServer,
    keys::{load_or_create_identity, open_keystore, read_password},
    net::{NetEvents, Network, check_listen, peer_id_of, peer_in},
    rules::quorum::KingSet,
    service::{
        COLUMNS,
        census::Census,
        checkpoints::CheckpointBook,
        council::book::StatementBook,
        directory::join_by,
        docket::Docket,
        index::ChainIndex,
        peers::Peers,
        pulse::Pulses,
        records::{OwnNode, Records},
        stake::ChainStakes,
    },
    store::Store,
    task::{Shutdown, Supervisor},
    telemetry::{Alerts, Health, Metrics, init_logs},
    types::{AddressBook, ChainKind, Coded, Role, signing::contract_domain},
};

/// A node before its role's services are added.
pub struct Node {
    pub config: NodeConfig,
    pub book: AddressBook,
    pub role: Role,
    /// Account that holds the stake.
    pub account: Address,
    pub operator: PrivateKeySigner,
    pub store: Store,
    pub ethereum: Chain,
    pub classic: Chain,
    pub ethereum_index: ChainIndex,
    pub classic_index: ChainIndex,
    pub peers: Peers,
    pub checkpoints: CheckpointBook,
    pub statements: StatementBook,
    pub docket: Docket,
    pub metrics: Metrics,
    pub health: Health,
    pub supervisor: Supervisor,
    pub alerts: Alerts,
    pub pulses: Pulses,
    pub(super) http_address: SocketAddr,
    /// Of the public interface, where there is one.
    pub(super) api_address: Option<SocketAddr>,
    pub(super) events: NetEvents,
    /// Keys that pay gas.
    pub(super) watched: Vec<(ChainKind, Address)>,
}

impl Node {
    /// Starts everything that all tiers have in common. Whatever is wrong shows here, before anything is promised; until all checks
    /// have passed, the data folder is not touched.
    pub async fn start(config: NodeConfig, role: Role) -> Result<Self, Box<dyn Coded>> {
        init_logs(&config.log.filter, config.log.format);
        let (metrics, health) = (Metrics::default(), Health::default());
        let mut net_config = net_config(&config, role).map_err(boxed)?;
        let http = HttpServer::bind(config.http.listen, health.clone(), metrics.clone()).await.map_err(boxed)?;
        check_listen(&net_config).map_err(boxed)?;
        let (alerts, raised) = Alerts::new();
        let webhook = webhook(&config, raised, &metrics)?;
        let book = config.address_book().map_err(boxed)?;
        let password = read_password(config.keys.password_file.as_deref(), &config.keys.operator).map_err(boxed)?;
        let operator = open_keystore(&config.keys.operator, &password).map_err(boxed)?;
        let ethereum = Chain::connect(ChainConfig::of_node(&config, ChainKind::Ethereum)).await.map_err(boxed)?;
        let classic = Chain::connect(ChainConfig::of_node(&config, ChainKind::Classic)).await.map_err(boxed)?;
        let account = account_of(&ethereum, &book, operator.address(), role).await?;
        let kings = KingSet::from_entry(&book.kings);
        check_kings(&kings, &book, &ethereum, &classic).await?;
        let identity = load_or_create_identity(&config.data_dir.join("node.key")).map_err(boxed)?;
        let store = Store::open(&config.data_dir.join("db"), COLUMNS).map_err(boxed)?;

        let mut supervisor = Supervisor::new(Shutdown::new(), metrics.clone());
        let ethereum_index = follow(&mut supervisor, &ethereum, &store, &book, &metrics).map_err(boxed)?;
        let classic_index = follow(&mut supervisor, &classic, &store, &book, &metrics).map_err(boxed)?;
        let own_peer = peer_id_of(&identity).map_err(boxed)?;
        net_config.bootstrap = join_by(&config, &ethereum, &book).await.map_err(boxed)?;
        // A King reads its own place, too.
        net_config.bootstrap.retain(|address| peer_in(address) != Some(own_peer));
        let (net, events, event_loop) = Network::start(net_config, *identity, metrics.clone()).map_err(boxed)?;
        supervisor.add(event_loop);
        let stakes = ChainStakes::new(ethereum.clone(), book.ethereum.staking_manager);
        let own = (role != Role::None).then(|| OwnNode { account, role, signer: Arc::new(operator.clone()) });
        let domain = contract_domain(book.ethereum.chain_id, book.ethereum.staking_manager);
        let (records, records_service) = Records::new(store.clone(), domain, stakes.clone(), net.clone(), metrics.clone(), own);
        supervisor.add(records_service);
        let peers = Peers { net, records, stakes };
        let http_address = http.local_address();
        let pulses = Pulses::new(classic_index.clone());
        let census = Census { peers: peers.clone(), classic: classic_index.clone(), pulses: pulses.clone(), role, account };
        supervisor.add(http.with_network(network_report(census)));
        webhook.into_iter().for_each(|webhook| supervisor.add(webhook));
        let (checkpoints, statements, docket) = books(kings, &book, &store);
        Ok(Self {
            config,
            book,
            role,
            account,
            operator,
            store,
            ethereum,
            classic,
            ethereum_index,
            classic_index,
            peers,
            checkpoints,
            statements,
            docket,
            metrics,
            health,
            supervisor,
            alerts,
            pulses,
            http_address,
            api_address: None,
            events,
            watched: Vec::new(),
        })
    }
}
