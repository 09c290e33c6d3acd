use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// Something wrong with the configuration, at its place in the file where it has one.
///
/// `Display` gives it as one line, `FILE:LINE:COLUMN: message (help)`; [`ConfigError::render`] shows the line itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    message: String,
    help: Option<String>,
    place: Option<Box<Place>>,
}

/// A stretch of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) text: Arc<str>,
    /// In bytes.
    pub(super) span: Range<usize>,
}

impl ConfigError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, place: None }
    }

    /// Says what to do about it; an empty text says nothing.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// Says that an environment variable is to blame.
    pub(super) fn in_variable(mut self, variable: &str) -> Self {
        self.message = format!("environment variable `{variable}`: {}", self.message);
        self
    }

    pub(super) fn has_help(&self) -> bool {
        self.help.is_some()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line and column of the mistake, both counted from 1, columns in characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_deref().map(Place::position)
    }

    /// The error for a terminal or a log: what is wrong, the line, what to do about it.
    pub fn render(&self, colour: bool) -> String {
        use miette::{GraphicalReportHandler, GraphicalTheme, ThemeCharacters, ThemeStyles};
        let styles = if colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
        let handler =
            GraphicalReportHandler::new_themed(GraphicalTheme { characters: ThemeCharacters::unicode(), styles })
                .without_primary_span_start()
                .with_wrap_lines(false);
        let mut text = String::new();
        match handler.render_report(&mut text, &Report::of(self)) {
            Ok(()) => text,
            Err(_) => format!("{self}\n"),
        }
    }
}

impl Place {
    fn position(&self) -> (usize, usize) {
        let start = self.span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position();
        write!(f, "{}:{line}:{column}", self.file.display())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

impl std::error::Error for ConfigError {}

/// The error as miette takes it: the file's name carries line and column, so that they are counted in one way only.
#[derive(Debug)]
struct Report<'a> {
    error: &'a ConfigError,
    source: Option<miette::NamedSource<Arc<str>>>,
}

impl<'a> Report<'a> {
    fn of(error: &'a ConfigError) -> Self {
        let source = error.place.as_ref().map(|place| miette::NamedSource::new(place.to_string(), place.text.clone()));
        Self { error, source }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let place = self.error.place.as_ref()?;
        let label = miette::LabeledSpan::new_primary_with_span(None, place.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}
