//! Whether a port is free before the swarm binds it.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

use super::{NetConfig, NetError};

/// Whether all addresses that `config` listens on are free, before anything slow is done.
pub fn check_listen(config: &NetConfig) -> Result<(), NetError> {
    config.listen.iter().try_for_each(check_free)
}

/// libp2p binds TCP with SO_REUSEPORT, so a second node of the same user would silently share the port and get half of the first one's
/// connections. A plain bind tells the truth.
pub(super) fn check_free(address: &Multiaddr) -> Result<(), NetError> {
    let Some((socket, is_tcp)) = socket_of(address) else { return Ok(()) };
    if socket.port() == 0 {
        return Ok(());
    }
    let outcome = if is_tcp { TcpListener::bind(socket).map(drop) } else { UdpSocket::bind(socket).map(drop) };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(NetError::ListenBusy { address: address.clone(), port: socket.port() }),
        Err(error) => Err(NetError::Listen { address: address.clone(), reason: error.to_string() }),
    }
}

fn socket_of(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((SocketAddr::new(ip, port), true)),
        Protocol::Udp(port) => Some((SocketAddr::new(ip, port), false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Coded;

    #[test]
    fn tells_a_busy_port_from_a_free_one() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        assert_eq!(check_free(&address).unwrap_err().code(), "E-NET-001");
        assert!(check_free(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).is_ok());
        assert_eq!(check_free(&"/ip4/203.0.113.1/tcp/7700".parse().unwrap()).unwrap_err().code(), "E-NET-003");
    }
}
