use perennial_sdk::Network;

use super::{Reachable, Refusal};
use crate::{
    config::{NetworkCeiling, Place},
    egress::{Endpoint, Host, Reach, Rule},
};

/// Places that one server may name.
const MOST_PLACES: usize = 100;

const KIND: &str = "network";

/// What a server may connect to.
pub(super) fn judge(ceiling: &NetworkCeiling, asked: &Network, refused: &mut Vec<Refusal>) -> Reachable {
    let places = match asked {
        Network::None => return Reachable::Nothing,
        Network::All if *ceiling == NetworkCeiling::All => return Reachable::Everything,
        Network::All => {
            let why = "is every host there is, private ones too, which the operator does not allow";
            let refusal = Refusal::denied(KIND, "all", why, "all");
            refused.push(match ceiling {
                NetworkCeiling::None => refusal,
                _ => refusal.instead("name the hosts instead, such as `\"network\": [\"api.example.com:443\"]`"),
            });
            return Reachable::Nothing;
        }
        Network::Hosts(places) => places,
    };
    let mut rules: Vec<Rule> = Vec::new();
    for (number, place) in places.iter().enumerate() {
        if number == MOST_PLACES {
            refused.push(Refusal::invalid(KIND, place, format!("comes after {MOST_PLACES} others, which is the most")));
            break;
        }
        match place.parse::<Endpoint>() {
            Err(error) => {
                let meant = error.meant.map(|meant| format!("write `{meant}` instead of `{place}`"));
                let form = "places are `host:port`, such as `api.example.com:443`".to_owned();
                let refusal = Refusal::invalid(KIND, place, error.why);
                refused.push(refusal.instead(meant.unwrap_or(form)));
            }
            Ok(endpoint) => match allowed(ceiling, &endpoint) {
                Ok(reach) if rules.iter().all(|rule| rule.endpoint != endpoint) => rules.push(Rule { endpoint, reach }),
                Ok(_) => {}
                Err(why) => refused.push(refusal(ceiling, place, &endpoint, why)),
            },
        }
    }
    if rules.is_empty() { Reachable::Nothing } else { Reachable::Places(rules) }
}

fn allowed(ceiling: &NetworkCeiling, endpoint: &Endpoint) -> Result<Reach, &'static str> {
    match ceiling {
        NetworkCeiling::All => Ok(Reach::All),
        NetworkCeiling::None => Err("is a host, and the operator allows none"),
        NetworkCeiling::Hosts => public(endpoint),
        NetworkCeiling::Listed(places) => {
            let listed = |place: &Place| matches!(place, Place::Endpoint(place) if place.0.covers(endpoint));
            match (places.iter().any(listed), places.contains(&Place::Hosts)) {
                (true, _) => Ok(Reach::Private),
                (false, true) => public(endpoint),
                (false, false) => Err("is not among the hosts that the operator allows"),
            }
        }
    }
}

fn public(endpoint: &Endpoint) -> Result<Reach, &'static str> {
    match &endpoint.host {
        _ if endpoint.is_public() => Ok(Reach::Public),
        Host::Below(_) => {
            Err("stands for any number of hosts, and the operator allows those that are named one by one")
        }
        host if host.is_of_a_cloud() => {
            Err("is where clouds tell machines their credentials, which the operator does not allow")
        }
        Host::Address(_) => Err("is no public address, and the operator allows public hosts alone"),
        Host::Name(_) => Err("is a name inside a network, and the operator allows public hosts alone"),
    }
}

fn refusal(ceiling: &NetworkCeiling, place: &str, endpoint: &Endpoint, why: &str) -> Refusal {
    let refusal = Refusal::denied(KIND, place, why, endpoint.to_string());
    match (&endpoint.host, ceiling) {
        (Host::Below(name), NetworkCeiling::Hosts) => {
            refusal.instead(format!("name each host instead, such as `api.{name}:{}`", endpoint.port.unwrap_or(443)))
        }
        _ => refusal,
    }
}
