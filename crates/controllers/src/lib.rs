//! Objects to wanted objects: what a lab runs and a real cluster already has.
