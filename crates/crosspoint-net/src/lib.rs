//! crosspoint-net
