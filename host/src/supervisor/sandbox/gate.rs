use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
};

use crate::supervisor::Egress;

/// What stands for the gate's address in the values of its variables.
const PLACE: &str = "{gate}";

/// Opens the gate that `egress` asks for, in the network of the caller, and tells the program where it is.
pub(in crate::supervisor) fn open_gate(
    egress: &Egress,
    env: &mut BTreeMap<String, String>,
) -> io::Result<Option<TcpListener>> {
    let Egress::Gate(gate) = egress else { return Ok(None) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    env.extend(gate.variables.iter().map(|(name, value)| (name.clone(), value.replace(PLACE, &address))));
    Ok(Some(listener))
}
