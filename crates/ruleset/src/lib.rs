//! The node plan as an nftables ruleset value: render, diff, print, parse, trace.
