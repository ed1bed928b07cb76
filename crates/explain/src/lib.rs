//! Why a connection works or fails, hop by hop, from the plans alone.
