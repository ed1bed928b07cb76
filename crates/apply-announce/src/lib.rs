//! Tell neighbours on the wire that a LoadBalancer address moved here.
