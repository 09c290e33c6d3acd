use clap::Args;

use super::{Common, TAKEN_UP, output};
use crate::{
    app::Pinned,
    exit::{Exit, Failure},
};

/// Write the hash of a plugin's library, as it is now, into the configuration
///
/// It takes the place of the hash before it, or of `trust = "unpinned"`; everything else in the file stays as it is, to the
/// byte. Where `path` has a file for each platform, the hash is that of this one. A library that a host would not load is
/// not pinned.
#[derive(Args)]
pub(in crate::cli) struct Pin {
    /// The plugin's name in the configuration
    name: String,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Pin {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { name, json } = self;
        let pinned = crate::app::pin_plugin(&common.request(), &name)
            .map_err(|failure| failure.context(format!("failed to pin `{name}`")))?;
        output::print(&if json { output::json(&pinned)? } else { render(&pinned) })?;
        Ok(Exit::Done)
    }
}

fn render(pinned: &Pinned) -> String {
    let Pinned { plugin, file, library, platform, old, new, unpinned } = pinned;
    let mut text = match old {
        Some(old) if old.eq_ignore_ascii_case(new) => {
            return output::plain(&format!("`{plugin}` has the hash of {} already\n", library.display()));
        }
        old => format!(
            "pinned `{plugin}` in {}, for {platform}\n  file  {}\n  old   {}\n  new   {new}\n",
            file.display(),
            library.display(),
            old.as_deref().unwrap_or("none")
        ),
    };
    if !unpinned.is_empty() {
        text += &format!("not pinned yet: {}; pin it there, too\n", unpinned.join(", "));
    }
    output::plain(&(text + TAKEN_UP))
}
