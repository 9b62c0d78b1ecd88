//! crosspoint-gateways

pub mod peote;
