//! Finds the real programs that a runtime asks for.
