use perennial_sdk::ServerId;

use super::{Address, Part, Resource};
use crate::{host::Host, identity::Client};

/// The servers whose resources a client is shown, as far as the host knows of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// What runs for the client, by id and name; started last, listed first.
    running: Vec<(String, String)>,
    /// What was saved last; none before anybody has looked.
    saved: Option<Vec<(ServerId, String)>>,
}

/// How many servers are listed; the template reaches all of them.
const MOST: usize = 25;

impl Servers {
    /// Those that there are now. Nothing is read for it.
    pub fn of(host: &Host, by: &Client) -> Self {
        let mut running: Vec<(String, String)> = Vec::new();
        for server in host.catalog.list(by).iter().rev() {
            let status = server.status();
            let name = status.name.unwrap_or_else(|| server.id.to_string());
            let id = server.lasting_id().to_string();
            if !running.iter().any(|(known, _)| *known == id) {
                running.push((id, name));
            }
        }
        let saved = host.exposure.newest(MOST + running.len());
        Self { running, saved }
    }

    /// Their resources.
    pub fn resources(&self) -> Vec<Resource> {
        let resources = self.listed(self.saved.as_deref()).into_iter().flat_map(|(id, name, runs)| {
            let parts = Part::ALL.into_iter().filter(move |part| runs || *part != Part::Logs);
            parts.map(move |part| Resource {
                address: Address { server: id.to_owned(), part },
                title: format!("{name}: {}", part.word()),
                description: part.description().into(),
            })
        });
        resources.collect()
    }

    /// Whether the list of their resources is another one than it was, in whatever order. That the library was looked at
    /// for the first time changes nothing: no list was given before.
    pub fn differ(&self, before: &Self) -> bool {
        let known = before.saved.as_ref().or(self.saved.as_ref());
        let (mut now, mut then) = (self.listed(self.saved.as_deref()), before.listed(known.map(Vec::as_slice)));
        now.sort_unstable();
        then.sort_unstable();
        now != then
    }

    /// Id, name and whether it runs.
    fn listed<'a>(&'a self, saved: Option<&'a [(ServerId, String)]>) -> Vec<(&'a str, &'a str, bool)> {
        let mut all: Vec<_> = self.running.iter().map(|(id, name)| (id.as_str(), name.as_str(), true)).collect();
        for (id, name) in saved.into_iter().flatten() {
            if !self.running.iter().any(|(running, _)| running == id.as_str()) {
                all.push((id.as_str(), name.as_str(), false));
            }
        }
        all.truncate(MOST);
        all
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ONE: &str = "00000000-0000-4000-8000-000000000001";
    const TWO: &str = "00000000-0000-4000-8000-000000000002";

    fn servers(running: &[&str], saved: Option<&[&str]>) -> Servers {
        let saved = saved.map(|all| all.iter().map(|id| (id.parse().unwrap(), (*id).to_owned())).collect());
        Servers { running: running.iter().map(|id| ((*id).to_owned(), (*id).to_owned())).collect(), saved }
    }

    #[rstest]
    #[case::the_first_look(servers(&[], None), servers(&[], Some(&[ONE])), false)]
    #[case::a_look_at_an_empty_library(servers(&[], Some(&[])), servers(&[], Some(&[ONE])), true)]
    #[case::another_order(servers(&[], Some(&[ONE, TWO])), servers(&[], Some(&[TWO, ONE])), false)]
    #[case::a_start_with_the_first_look(servers(&[], None), servers(&[ONE], Some(&[ONE])), true)]
    #[case::a_start(servers(&[], Some(&[ONE])), servers(&[ONE], Some(&[ONE])), true)]
    #[case::the_save_of_what_runs(servers(&[ONE], Some(&[])), servers(&[ONE], Some(&[ONE])), false)]
    #[case::an_end(servers(&[ONE], Some(&[])), servers(&[], Some(&[])), true)]
    fn what_makes_the_list_another_one(#[case] before: Servers, #[case] now: Servers, #[case] differs: bool) {
        assert_eq!(now.differ(&before), differs);
    }
}
