//! The tools of saved servers in the host's own list, from what is known of them without starting any.

mod choices;
mod names;
mod remembered;
mod search;
mod shown;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use perennial_sdk::{Cx, Error, Result, SavedServer, ServerId, Summary, ToolDefinition};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};

pub(crate) use names::name as name_in_list;
pub use search::Found;
pub use shown::{Route, Shown};

use crate::{
    blocking::blocking,
    config::{Config, ExposureMode as Mode},
    current::Current,
    definitions::clean,
    library::Library,
    toolset::Toolset,
};

use choices::{Choice, Choices, ChoicesFile};
use remembered::Remembered;

/// Which tools of saved servers stand in the list. The set is the whole host's, and changes when a server is saved,
/// deleted, exposed or hidden, here or elsewhere.
pub struct Exposure {
    choices: ChoicesFile,
    remembered: Remembered,
    settings: Current<Settings>,
    only: OnceLock<ServerId>,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    saved: watch::Sender<()>,
    looked: watch::Sender<bool>,
}

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    mode: Mode,
    ceiling: Ceiling,
}

/// The most that the list may hold of saved servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    tools: usize,
    bytes: usize,
}

/// What is known of a saved server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    id: ServerId,
    name: String,
    saved_at: String,
    language: String,
    tools: Arc<Vec<ToolDefinition>>,
}

#[derive(Default)]
struct State {
    servers: Vec<Saved>,
    shown: Arc<Shown>,
    looked_at: Option<Instant>,
    /// Whether `servers` are all that there are, or were when somebody last looked.
    known: bool,
    mark: Option<(std::time::SystemTime, u64)>,
}

/// How long the first list waits for the library before it is what the last session knew.
const FIRST_LOOK: Duration = Duration::from_millis(400);

/// How long what is known counts as new.
const FRESH: Duration = Duration::from_secs(5);

/// How people say what becomes of a server's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// All are shown.
    Show,
    /// These are shown.
    Tools(Vec<String>),
    /// None are.
    Hide,
}

impl Exposure {
    /// Remembers below `state_dir` what it knows of the library at `location`. Nothing is read yet.
    pub fn new(state_dir: &Path, location: String, settings: Settings) -> Self {
        Self {
            choices: ChoicesFile::new(state_dir),
            remembered: Remembered::new(state_dir, location),
            settings: Current::new(settings),
            only: OnceLock::new(),
            state: Mutex::default(),
            changes: watch::Sender::default(),
            saved: watch::Sender::default(),
            looked: watch::Sender::default(),
        }
    }

    /// Shows this saved server alone from now on, by its own names.
    pub fn show_only(&self, server: ServerId) {
        let _ = self.only.set(server);
    }

    /// The saved server that is shown alone, if one is.
    pub fn only(&self) -> Option<&ServerId> {
        self.only.get()
    }

    /// Hears when the list changes from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Hears when it is known of other servers that they are saved, from now on.
    pub fn saved_changes(&self) -> watch::Receiver<()> {
        self.saved.subscribe()
    }

    /// Saved servers by id and name, those that were saved last first; none before anybody has looked.
    pub fn newest(&self, most: usize) -> Option<Vec<(ServerId, String)>> {
        let state = self.state();
        let mut all: Vec<_> = state.known.then(|| state.servers.iter().collect())?;
        all.sort_by(|one: &&Saved, other| other.saved_at.cmp(&one.saved_at));
        Some(all.into_iter().take(most).map(|saved| (saved.id.clone(), saved.name.clone())).collect())
    }

    /// Lets the list go by other settings.
    pub async fn change(self: &Arc<Self>, settings: Settings) {
        self.settings.replace(settings);
        self.amend(|_| ()).await;
    }

    /// What is shown now.
    pub fn shown(&self) -> Arc<Shown> {
        self.state().shown.clone()
    }

    /// What is shown, once the library was looked at for the first time or has kept everybody waiting for long enough. A
    /// look that is not new any more is followed by another, behind.
    pub async fn listed(self: &Arc<Self>, library: &Arc<Library>) -> Arc<Shown> {
        let mut looked = self.looked.subscribe();
        let (first, old) = {
            let mut state = self.state();
            let first = !*looked.borrow() && state.looked_at.is_none();
            let old = state.looked_at.is_none_or(|at| at.elapsed() > FRESH);
            if old {
                state.looked_at = Some(Instant::now());
            }
            (first, old)
        };
        if old {
            let (this, library) = (self.clone(), library.clone());
            tokio::spawn(async move { this.look(&library).await });
        }
        if timeout(FIRST_LOOK, looked.wait_for(|looked| *looked)).await.is_err() && first {
            self.recall().await;
        }
        self.shown()
    }

    /// A server was saved.
    pub async fn saved(self: &Arc<Self>, record: &SavedServer) {
        let Some(saved) = Saved::of(record.summary()) else { return };
        self.amend(move |servers| {
            servers.retain(|known| known.id != saved.id);
            servers.push(saved);
        })
        .await;
    }

    /// A saved server was deleted.
    pub async fn deleted(self: &Arc<Self>, id: &ServerId) {
        let (this, id) = (self.clone(), id.clone());
        self.amend(move |servers| {
            servers.retain(|known| known.id != id);
            if let Err(error) = this.choices.change(|choices| choices.forget(&id)) {
                tracing::warn!(%error, "what was decided about a deleted server is still there");
            }
        })
        .await;
    }

    /// A saved server runs and has these tools: those that are not as recorded leave the list until it is saved again, or
    /// runs with them as recorded.
    pub async fn seen(self: &Arc<Self>, id: &ServerId, tools: &Toolset) {
        let (saved_at, differing) = {
            let state = self.state();
            let Some(saved) = state.servers.iter().find(|saved| saved.id == *id) else { return };
            let differs = |tool: &&ToolDefinition| tools.get(&tool.name) != Some(*tool);
            let differing: Vec<_> = saved.tools.iter().filter(differs).map(|tool| tool.name.clone()).collect();
            (saved.saved_at.clone(), differing)
        };
        let (this, id) = (self.clone(), id.clone());
        let kept = blocking(move || {
            let mut other = false;
            this.choices.change(|choices| {
                other = choices.differing(&id, &saved_at) != differing;
                if other {
                    choices.differ(&id, &saved_at, differing);
                }
            })?;
            Ok(other)
        });
        match kept.await {
            Ok(true) => self.amend(|_| ()).await,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "which tools differ from their record is not kept"),
        }
    }

    /// Changes what is known, where the disk keeps nobody waiting.
    async fn amend(self: &Arc<Self>, change: impl FnOnce(&mut Vec<Saved>) + Send + 'static) {
        let this = self.clone();
        let _ = blocking(move || {
            let mut state = this.state();
            change(&mut state.servers);
            this.show(&mut state);
            this.saved.send_replace(());
            Ok(())
        })
        .await;
    }

    /// Shows or hides tools of a saved server, durably.
    ///
    /// # Errors
    /// `not_found` for a tool that the server does not have; the choice cannot be written.
    pub async fn wish(self: &Arc<Self>, id: &ServerId, wish: Wish) -> Result<Arc<Shown>> {
        if let Wish::Tools(tools) = &wish {
            let state = self.state();
            let known: Vec<_> =
                state.servers.iter().filter(|saved| saved.id == *id).flat_map(|saved| &*saved.tools).collect();
            if let Some(unknown) = tools.iter().find(|tool| !known.iter().any(|known| known.name == **tool)) {
                let names = known.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Error::not_found(format!("the saved server has no tool `{unknown:.80}`"))
                    .hint(format!("its tools are: {names}")));
            }
        }
        let (this, id) = (self.clone(), id.clone());
        blocking(move || {
            this.choices.change(|choices| {
                let choice = match wish {
                    Wish::Show => Choice::Shown,
                    Wish::Tools(tools) => Choice::Tools(tools),
                    Wish::Hide => Choice::Hidden,
                };
                choices.servers.insert(id, choice);
            })
        })
        .await?;
        self.amend(|_| ()).await;
        Ok(self.shown())
    }

    /// Searches the tools of all saved servers, shown or not.
    pub fn search<T>(&self, query: &str, most: usize, take: impl Fn(&Found<'_>, Option<&str>) -> T) -> Vec<T> {
        let state = self.state();
        let found = search::search(&state.servers, query, most);
        found.iter().map(|found| take(found, state.shown.name_of(found.server, &found.tool.name))).collect()
    }

    /// Looks at the library, and waits for that.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn refresh(self: &Arc<Self>, library: &Library) -> Result<()> {
        let servers = library.list(&Cx::detached()).await?.into_iter().filter_map(Saved::of).collect();
        self.take(servers).await;
        Ok(())
    }

    async fn look(self: Arc<Self>, library: &Library) {
        if let Err(error) = self.refresh(library).await {
            tracing::warn!(%error, "the library does not tell what is saved; the tools are those last seen");
            self.recall().await;
            self.looked.send_replace(true);
        }
    }

    async fn take(self: &Arc<Self>, servers: Vec<Saved>) {
        let this = self.clone();
        let taken = blocking(move || {
            let known = {
                let mut state = this.state();
                let changed = state.servers != servers;
                let news = changed || !state.known;
                state.known = true;
                state.servers = servers;
                state.looked_at = Some(Instant::now());
                if changed || state.mark != this.choices.mark() {
                    this.show(&mut state);
                }
                if news {
                    this.saved.send_replace(());
                }
                changed.then(|| state.servers.clone())
            };
            this.looked.send_replace(true);
            known.map_or(Ok(()), |known| this.remembered.write(&known))
        });
        if let Err(error) = taken.await {
            tracing::debug!(%error, "what is saved is not remembered for a session without its store");
        }
    }

    /// Takes what an earlier session knew, unless something is known already.
    async fn recall(self: &Arc<Self>) {
        let this = self.clone();
        let _ = blocking(move || {
            let known = this.remembered.read();
            let mut state = this.state();
            state.known = true;
            if state.servers.is_empty() && !known.is_empty() {
                state.servers = known;
                this.show(&mut state);
            }
            this.saved.send_replace(());
            Ok(())
        })
        .await;
    }

    /// Makes the list anew, and says so when it is another one.
    fn show(&self, state: &mut State) {
        let Settings { mode, ceiling } = *self.settings.get();
        let servers = &state.servers;
        let mut shown = self.only().map(|only| Shown::only(servers, only));
        let chosen = match servers.is_empty() || shown.is_some() {
            true => Ok(Choices::default()),
            false => self.choices.change(|choices| shown = Some(Shown::choose(servers, choices, mode, ceiling))),
        };
        if let Err(error) = chosen {
            tracing::warn!(%error, "what was decided about tools of saved servers is not known");
            shown.get_or_insert_with(|| Shown::choose(servers, &mut Choices::default(), mode, ceiling));
        }
        state.mark = self.choices.mark();
        let shown = shown.unwrap_or_default();
        if *state.shown != shown {
            state.shown = Arc::new(shown);
            self.changes.send_replace(());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Saved {
    fn of(summary: Summary) -> Option<Self> {
        if summary.damage.is_some() {
            return None;
        }
        Some(Self {
            id: summary.server_id.parse().ok()?,
            name: summary.name,
            saved_at: summary.saved_at,
            language: summary.language,
            tools: Arc::new(clean(summary.tools).definitions),
        })
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let exposure = &config.exposure;
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let most = number(exposure.max_kb.get()).saturating_mul(1024);
        // what models read costs about a token for four bytes of JSON
        let auto = number(exposure.auto_tokens.get()).saturating_mul(4);
        let bytes = if exposure.mode == Mode::Auto { most.min(auto) } else { most };
        Self { mode: exposure.mode, ceiling: Ceiling { tools: number(exposure.max_tools.get()), bytes } }
    }
}
