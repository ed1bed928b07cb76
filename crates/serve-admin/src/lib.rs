//! Health, metrics and the current plan over HTTP.
