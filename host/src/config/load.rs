use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use serde::Deserialize;
use toml::{Spanned, de::DeTable};

use super::{
    Config, ConfigError, SCHEMA_VERSION, Variables, directories, interpolation, overrides, shown,
    source::{Document, Origin, Resolved},
    wording,
};

/// What decides which configuration is loaded.
#[derive(Clone)]
pub struct Request {
    /// `--config FILE`. It must exist.
    pub file: Option<PathBuf>,
    /// The environment: `PERENNIAL_CONFIG` names the file when no flag does, and must then exist, too.
    pub variables: Variables,
    /// Whether `${…}` is replaced by what it stands for. Only what people are shown goes without.
    pub resolve: bool,
}

/// Loads the configuration: flag over environment over file over defaults.
///
/// The current folder is never looked at: chat clients start us in arbitrary places, and a cloned repository must not
/// configure the host.
///
/// # Errors
/// A file that was named and cannot be read; anything in a file or a variable that does not parse.
pub fn load(request: &Request) -> Result<Config, ConfigError> {
    let mut config = match read(request)? {
        Some(document) => parse(Arc::new(document), request)?,
        None => Config::default(),
    };
    overrides::apply(&mut config, &request.variables)?;
    Ok(config)
}

impl Request {
    /// The file that is loaded when it is there; none when nothing names one and there is no home folder.
    pub fn path(&self) -> Option<PathBuf> {
        self.wanted().map(|(path, _)| path)
    }

    /// The file, and what named it.
    fn wanted(&self) -> Option<(PathBuf, Option<&'static str>)> {
        let flag = self.file.as_ref();
        let flag = flag.map(|file| (std::path::absolute(file).unwrap_or_else(|_| file.clone()), "--config"));
        let named = flag.or_else(|| Some((self.variables.path("PERENNIAL_CONFIG")?, "PERENNIAL_CONFIG")));
        named.map(|(path, by)| (path, Some(by))).or_else(|| Some((directories::usual_file()?, None)))
    }
}

/// As [`load`], when `path` held `text`.
///
/// # Errors
/// Anything in it or in a variable that does not parse.
pub fn load_text(path: PathBuf, text: String, request: &Request) -> Result<Config, ConfigError> {
    let mut config = parse(Arc::new(Document::new(path, text)), request)?;
    overrides::apply(&mut config, &request.variables)?;
    Ok(config)
}

fn read(request: &Request) -> Result<Option<Document>, ConfigError> {
    let Some((path, named_by)) = request.wanted() else { return Ok(None) };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if named_by.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            let help = named_by.map(|by| format!("the file was named by `{by}`")).unwrap_or_default();
            return Err(ConfigError::new(format!("cannot read `{}`: {error}", path.display())).with_help(help));
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Document::new(path, text))),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let document = Document::new(path, String::from_utf8_lossy(error.as_bytes()).into_owned());
            Err(ConfigError::new("the file is not UTF-8").at(document.place(at..at + 1)))
        }
    }
}

pub(super) fn parse(document: Arc<Document>, request: &Request) -> Result<Config, ConfigError> {
    let text = document.clone();
    let mut root = DeTable::parse(text.text()).map_err(|error| syntax(&document, &error))?;
    check_version(&document, &root)?;
    let mut resolved = match request.resolve {
        true => interpolation::resolve(root.get_mut(), &document, &request.variables)?,
        false => Vec::new(),
    };
    let literal = |span| text.text().get(span).map(|value: &str| value.to_owned());
    let literal = shown::secrets(text.text()).into_iter().filter_map(literal);
    // hiding every `a` of a message would hide the message
    let literal = literal.filter(|value| value.len() >= 4);
    resolved.extend(literal.map(|value| Resolved { written: shown::HIDDEN.into(), value }));
    let origin = Origin { document: Some(document.clone()), resolved, ..Origin::default() };
    match Config::deserialize(toml::Deserializer::from(root)) {
        Ok(mut config) => {
            config.origin = origin;
            Ok(config)
        }
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let name = document.name_at(&span);
            Err(wording::explain(&origin.hide(error.message().to_owned()), name.as_deref()).at(document.place(span)))
        }
    }
}

fn syntax(document: &Document, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or_default();
    let wrong = match (error.message().trim_end(), document.text().get(span.clone())) {
        ("duplicate key", Some(key)) => {
            ConfigError::new(format!("the key `{key}` is in this table already")).with_help("leave one of the two out")
        }
        (message, _) => ConfigError::new(message),
    };
    wrong.at(document.place(span))
}

/// A file for a newer version is told so, rather than that its keys are unknown.
fn check_version(document: &Document, root: &Spanned<DeTable<'_>>) -> Result<(), ConfigError> {
    let Some(value) = root.get_ref().get("schema_version") else { return Ok(()) };
    let version = value.get_ref().as_integer().and_then(|version| version.as_str().parse::<u64>().ok());
    if version == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let error = ConfigError::new(format!("`schema_version` must be {SCHEMA_VERSION}"))
        .with_help("a file with a higher number needs a newer perennial");
    Err(error.at(document.place(value.span())))
}
