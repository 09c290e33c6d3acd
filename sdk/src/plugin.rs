use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{DynStorage, DynTools, Error, LanguageRuntime, Result};

/// A boxed future, for traits that must be objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What every plugin is, whatever it provides: something that is opened once with its part of the configuration.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// The plugin's `config` table. Give it `deny_unknown_fields`: a typing mistake is then shown at its line.
    type Config: DeserializeOwned + Send;

    /// Opens the plugin. Nothing slow or remote belongs here: it delays the host's first tool list.
    fn init(config: Self::Config, home: Home) -> impl Future<Output = Result<Self>> + Send;

    /// Ends the plugin: what must still be written is written.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// The `config` of a plugin that has no settings: any key is a mistake.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Where a plugin lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Home {
    /// The folder of the user's data, such as the library of saved servers. It may not exist yet.
    pub data_dir: PathBuf,
}

/// A plugin that a linked crate exports; [`export_plugin!`](crate::export_plugin) makes it.
pub struct Registration {
    /// Lowercase letters, digits and `-`.
    pub id: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// Among `storage`, `runtime` and `tools`.
    pub provides: &'static [&'static str],
    /// Opens it.
    pub open: fn(Value, Home) -> BoxFuture<'static, Result<Opened>>,
}

/// A plugin at work, by what it provides.
pub struct Opened {
    /// The language runtime, when it provides one.
    pub runtime: Option<Arc<dyn LanguageRuntime>>,
    /// The storage, when it provides one.
    pub storage: Option<Arc<dyn DynStorage>>,
    /// The tools, when it provides some.
    pub tools: Option<Arc<dyn DynTools>>,
    lifecycle: Arc<dyn Lifecycle>,
}

/// Every plugin linked into this program, sorted by id.
pub fn registrations() -> Vec<&'static Registration> {
    let mut all: Vec<_> = inventory::iter::<Registration>.into_iter().collect();
    all.sort_by_key(|registration| registration.id);
    all
}

/// Makes a type known as a plugin: `export_plugin!(memory, Memory: [storage]);`
///
/// The plugin's id is the identifier, with `-` for every `_`. The kinds are any of `storage`, `runtime` and `tools`; the
/// type implements [`Plugin`] and the trait of each kind. A crate with `crate-type = ["cdylib"]` is then a native plugin, a
/// program that calls [`serve`](crate::serve) one out of process.
#[macro_export]
macro_rules! export_plugin {
    ($id:ident, $plugin:ty : [$first:ident $(, $kind:ident)* $(,)?]) => {
        const _: () = {
            const BYTES: [u8; stringify!($id).len()] = $crate::manifest::id(stringify!($id));
            const ID: &str = $crate::manifest::text(&BYTES);
            const PROVIDES: &[&str] = &[stringify!($first) $(, stringify!($kind))*];

            $crate::__entry!($id, $plugin, &[
                $crate::Manifest::HEAD, "{\"id\":\"", ID, "\",\"version\":\"", env!("CARGO_PKG_VERSION"),
                "\",\"provides\":[\"", stringify!($first), $("\",\"", stringify!($kind),)* "\"],\"sdk\":\"",
                $crate::SDK_VERSION, "\",\"bodies\":true,\"panic\":\"",
                if cfg!(panic = "unwind") { "unwind" } else { "abort" }, "\"}\n",
            ]);

            impl $crate::Exported for $plugin {
                const ID: &'static str = ID;
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                const PROVIDES: &'static [&'static str] = PROVIDES;

                async fn open(config: $crate::serde_json::Value, home: $crate::Home) -> $crate::Result<$crate::Opened> {
                    let plugin = ::std::sync::Arc::new($crate::open_plugin::<$plugin>(config, home).await?);
                    let mut opened = $crate::Opened::new(plugin.clone());
                    $crate::export_plugin!(@attach $first, opened, plugin);
                    $($crate::export_plugin!(@attach $kind, opened, plugin);)*
                    Ok(opened)
                }

                fn entry() -> Option<&'static $crate::abi::Plugin> {
                    Some(&ENTRY)
                }
            }

            $crate::inventory::submit! {
                $crate::Registration {
                    id: ID,
                    version: env!("CARGO_PKG_VERSION"),
                    provides: PROVIDES,
                    open: |config, home| Box::pin(<$plugin as $crate::Exported>::open(config, home)),
                }
            }
        };
    };
    (@attach runtime, $opened:ident, $plugin:ident) => { $opened.runtime = Some($plugin.clone()) };
    (@attach storage, $opened:ident, $plugin:ident) => { $opened.storage = Some($plugin.clone()) };
    (@attach tools, $opened:ident, $plugin:ident) => { $opened.tools = Some($plugin.clone()) };
}

/// A type that [`export_plugin!`](crate::export_plugin) was called on; the testkit opens plugins through it.
pub trait Exported: Plugin {
    /// The plugin's id.
    const ID: &'static str;
    /// The version of its crate.
    const VERSION: &'static str = "";
    /// Among `storage`, `runtime` and `tools`.
    const PROVIDES: &'static [&'static str] = &[];

    /// Opens it as a host would.
    fn open(config: Value, home: Home) -> impl Future<Output = Result<Opened>> + Send;

    /// What its symbol gives.
    #[doc(hidden)]
    fn entry() -> Option<&'static crate::abi::Plugin> {
        None
    }
}

#[doc(hidden)]
pub async fn open_plugin<P: Plugin>(config: Value, home: Home) -> Result<P> {
    let config = if config.is_null() { Value::Object(Default::default()) } else { config };
    P::init(parse_config(config)?, home).await
}

/// Parses a plugin's `config` table. On a mistake `data.path` holds the keys and indices that lead to it, so that the
/// host can show the line.
fn parse_config<C: DeserializeOwned>(config: Value) -> Result<C> {
    use serde_path_to_error::Segment;
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Value::from(*index)),
            Segment::Map { key } => Some(Value::from(key.as_str())),
            Segment::Enum { variant } => Some(Value::from(variant.as_str())),
            Segment::Unknown => None,
        });
        let data = serde_json::json!({ "path": path.collect::<Vec<_>>() });
        Error { data, ..Error::invalid(error.inner().to_string()) }
    })
}

impl Opened {
    #[doc(hidden)]
    pub fn new<P: Plugin>(plugin: Arc<P>) -> Self {
        Self { runtime: None, storage: None, tools: None, lifecycle: plugin }
    }

    /// A plugin that is not linked in, without anything that it provides yet; `shutdown` ends it.
    #[doc(hidden)]
    pub fn foreign(shutdown: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self { runtime: None, storage: None, tools: None, lifecycle: Arc::new(Foreign(shutdown)) }
    }

    /// Ends the plugin: what must still be written is written.
    pub async fn shutdown(&self) {
        self.lifecycle.shutdown().await;
    }
}

inventory::collect!(Registration);

trait Lifecycle: Send + Sync {
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

impl<P: Plugin> Lifecycle for P {
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(Plugin::shutdown(self))
    }
}

struct Foreign<F>(F);

impl<F: Fn() -> BoxFuture<'static, ()> + Send + Sync> Lifecycle for Foreign<F> {
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        (self.0)()
    }
}
