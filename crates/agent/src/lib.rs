//! The loops: the node pipeline on one screen, and the cluster's.
