use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::{ConfigError, Variables};

/// The folders that Perennial lives in. None of them need exist yet; all are absolute.
///
/// Where they are is a fact of the machine, so that the file, which a team may share, has no say in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// What must not be lost: saved servers. `MCP_CREATE_DATA_DIR`, `PERENNIAL_DATA_DIR`, or the platform's own.
    pub data: PathBuf,
    /// What can be made again: environments and builds. `PERENNIAL_CACHE_DIR`, or the platform's own.
    pub cache: PathBuf,
    /// What running servers write, and records of what runs. `PERENNIAL_STATE_DIR`, or the platform's own.
    pub state: PathBuf,
    /// Sockets and locks. `PERENNIAL_RUNTIME_DIR`, or the platform's own.
    pub runtime: PathBuf,
}

impl Directories {
    /// The folders by the environment. Without a home folder the data folder must be named; the others then lie in it.
    ///
    /// # Errors
    /// There is no home folder, and no data folder was named.
    pub fn find(variables: &Variables) -> Result<Self, ConfigError> {
        let home = home();
        let of_home = |folder: fn(&Strategy) -> PathBuf| home.as_ref().map(|home| folder(home).join(FOLDER));
        let data = variables
            .path("MCP_CREATE_DATA_DIR")
            .or_else(|| variables.path("PERENNIAL_DATA_DIR"))
            .or_else(|| of_home(Strategy::data_dir))
            .ok_or_else(|| {
                ConfigError::new("there is no home folder to keep saved servers in")
                    .with_help("set `PERENNIAL_DATA_DIR` to a folder that lasts")
            })?;
        let cache = variables
            .path("PERENNIAL_CACHE_DIR")
            .or_else(|| of_home(Strategy::cache_dir))
            .unwrap_or_else(|| data.join("cache"));
        let state = variables
            .path("PERENNIAL_STATE_DIR")
            .or_else(|| home.as_ref().and_then(Strategy::state_dir).map(|state| state.join(FOLDER)))
            .unwrap_or_else(|| if home.is_some() { cache.join("state") } else { data.join("state") });
        let runtime = variables
            .path("PERENNIAL_RUNTIME_DIR")
            .or_else(|| home.as_ref().and_then(Strategy::runtime_dir).map(|runtime| runtime.join(FOLDER)))
            .unwrap_or_else(|| state.join("run"));
        Ok(Self { data, cache, state, runtime })
    }
}

/// Where the file is looked for when nothing names it; none without a home folder.
pub fn usual_file() -> Option<PathBuf> {
    let home = home()?;
    Some(home.config_dir().join(FOLDER).join("perennial.toml"))
}

/// An empty or relative `HOME` counts as none: folders would appear wherever a client happens to start us.
fn home() -> Option<Strategy> {
    etcetera::choose_base_strategy().ok().filter(|home| home.home_dir().is_absolute())
}

const FOLDER: &str = "perennial";

#[cfg(windows)]
type Strategy = etcetera::base_strategy::Windows;
#[cfg(not(windows))]
type Strategy = etcetera::base_strategy::Xdg;
