//! What can go wrong between nodes.

use libp2p::{Multiaddr, PeerId};

use crate::types::{Coded, wire::WireError};

#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    #[error("port {port} of {address} is in use by another process")]
    ListenBusy { address: Multiaddr, port: u16 },
    #[error("\"{text}\" is not an address of the network: {reason}")]
    BadAddress { text: String, reason: String },
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: Multiaddr, reason: String },
    #[error("peer {peer} cannot be reached: {reason}")]
    Dial { peer: PeerId, reason: String },
    #[error("peer {peer} did not answer {what} in time")]
    Timeout { peer: PeerId, what: String },
    #[error("peer {peer} refused: {reason} ({code})")]
    Refused { peer: PeerId, code: Box<str>, reason: Box<str> },
    #[error("a message is too large: {source}")]
    Oversize { source: WireError },
    #[error("peer {peer} does not speak {protocol}")]
    Unsupported { peer: PeerId, protocol: String },
    #[error("the connection to peer {peer} broke: {reason}")]
    Lost { peer: PeerId, reason: String },
    #[error("too many operations at once: {what}")]
    Busy { what: &'static str },
    #[error("the network of this node has stopped")]
    Stopped,
    #[error("the network cannot be set up: {reason}")]
    Setup { reason: String },
    #[error("peer {peer} sent something that is no message: {reason}")]
    Malformed { peer: PeerId, reason: String },
    #[error("streams of {protocol} are already accepted elsewhere in this node")]
    ProtocolTaken { protocol: String },
    #[error("a message of this node is invalid: {source}")]
    Invalid { source: WireError },
}

impl NetError {
    /// An own message that cannot be sent.
    pub(super) fn own(source: WireError) -> Self {
        match source {
            WireError::Oversize { .. } => Self::Oversize { source },
            other => Self::Invalid { source: other },
        }
    }

    /// Whether the peer, not the message, is the problem, so that trying later or elsewhere makes sense.
    pub fn is_transient(&self) -> bool {
        match self {
            NetError::Dial { .. } | NetError::Timeout { .. } | NetError::Lost { .. } | NetError::Busy { .. } => true,
            NetError::Refused { code, .. } => **code == *super::BUSY_CODE,
            _ => false,
        }
    }
}

impl Coded for NetError {
    fn code(&self) -> &'static str {
        match self {
            NetError::ListenBusy { .. } => "E-NET-001",
            NetError::BadAddress { .. } => "E-NET-002",
            NetError::Listen { .. } => "E-NET-003",
            NetError::Dial { .. } => "E-NET-004",
            NetError::Timeout { .. } => "E-NET-005",
            NetError::Refused { .. } => "E-NET-006",
            NetError::Oversize { .. } => "E-NET-007",
            NetError::Unsupported { .. } => "E-NET-008",
            NetError::Lost { .. } => "E-NET-009",
            NetError::Busy { .. } => super::BUSY_CODE,
            NetError::Stopped => "E-NET-011",
            NetError::Setup { .. } => "E-NET-012",
            NetError::Malformed { .. } => "E-NET-013",
            NetError::ProtocolTaken { .. } => "E-NET-014",
            NetError::Invalid { .. } => "E-NET-016",
        }
    }

    fn next_step(&self) -> String {
        match self {
            NetError::ListenBusy { port, .. } => {
                format!(
                    "stop the process that holds port {port} (`ss -lntup 'sport = :{port}'` names it), or set network.listen to another one"
                )
            }
            NetError::BadAddress { .. } => {
                "write it as /ip4/203.0.113.7/tcp/7700 or /dns4/example.org/udp/7700/quic-v1; nodes to join by end in /p2p/<peer id>".into()
            }
            NetError::Listen { .. } => "set network.listen to an address that this machine has".into(),
            NetError::Dial { .. } => "check that the peer runs and that its port is open; a node behind NAT needs a relay".into(),
            NetError::Timeout { .. } => "try again; if it lasts, the peer is overloaded or the route to it is broken".into(),
            NetError::Refused { code, .. } if **code == *super::BUSY_CODE => "wait a moment and try again, or ask another node".into(),
            NetError::Refused { code, .. } => format!("look up {code} in the documentation: it is the peer's reason"),
            NetError::Oversize { .. } => "ask for less at once".into(),
            NetError::Unsupported { .. } => "update the older of the two nodes, or ask one of the right role".into(),
            NetError::Lost { .. } => "try again; the connection is opened anew".into(),
            NetError::Busy { .. } => "wait a moment and try again".into(),
            NetError::Stopped => "start the node again; the log says why its network stopped".into(),
            NetError::Setup { .. } => "correct the network section of the configuration and start again".into(),
            NetError::Malformed { .. } => "ask another node, and update this one if many peers answer like that".into(),
            NetError::ProtocolTaken { .. } | NetError::Invalid { .. } => "report this: it is a defect of this build".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_remedy() {
        let error = NetError::ListenBusy { address: "/ip4/0.0.0.0/tcp/7700".parse().unwrap(), port: 7700 };
        assert_eq!(error.code(), "E-NET-001");
        assert!(error.to_string().contains("7700") && error.next_step().contains("7700"));
    }
}
