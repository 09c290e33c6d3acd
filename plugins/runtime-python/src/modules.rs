//! Names that people take for packages.

/// Module → the package that provides it, where the names differ.
pub(crate) const PACKAGES: &[(&str, &str)] = &[
    ("Crypto", "pycryptodome"),
    ("OpenSSL", "pyopenssl"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("fitz", "pymupdf"),
    ("github", "pygithub"),
    ("googleapiclient", "google-api-python-client"),
    ("jose", "python-jose"),
    ("jwt", "pyjwt"),
    ("magic", "python-magic"),
    ("multipart", "python-multipart"),
    ("MySQLdb", "mysqlclient"),
    ("pptx", "python-pptx"),
    ("psycopg2", "psycopg2-binary"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("slugify", "python-slugify"),
    ("telegram", "python-telegram-bot"),
    ("websocket", "websocket-client"),
    ("yaml", "pyyaml"),
];

/// Modules whose name is no package, or that of an unrelated or empty one; a dependency so named means the package in
/// [`PACKAGES`].
const NEVER_PACKAGES: &[&str] = &["pil", "bs4", "cv2", "dateutil", "dotenv", "skimage", "sklearn", "yaml"];

/// Modules of the standard library that models list as dependencies.
const STANDARD: &[&str] = &[
    "abc",
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "calendar",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "enum",
    "functools",
    "glob",
    "hashlib",
    "hmac",
    "html",
    "http",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "multiprocessing",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "queue",
    "random",
    "re",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "sys",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "typing",
    "unicodedata",
    "unittest",
    "urllib",
    "uuid",
    "warnings",
    "xml",
    "zipfile",
    "zoneinfo",
];

/// Whether `name` is part of Python.
pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name)
}

/// The package that is meant by the name of a module, when no package of that name is.
pub(crate) fn meant_by(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    if !NEVER_PACKAGES.contains(&lower.as_str()) {
        return None;
    }
    PACKAGES.iter().find(|(module, _)| module.eq_ignore_ascii_case(name)).map(|(_, package)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_that_is_no_package_has_one() {
        assert!(NEVER_PACKAGES.iter().all(|name| meant_by(name).is_some()));
        assert_eq!(meant_by("PIL"), Some("pillow"));
        assert_eq!(meant_by("requests"), None);
    }
}
