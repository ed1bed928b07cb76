//! NetworkPolicy verdicts with the rule that gave them; the oracle for the ruleset.
