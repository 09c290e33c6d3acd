//! Owns child processes and their deaths; knows no MCP.
