//! The content-addressed cache of installed dependencies.
