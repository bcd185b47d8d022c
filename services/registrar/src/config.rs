//! Settings of this room.

use types::Seconds;

types::settings! {
    /// Registrations (`[registrar]`).
    pub struct Config {
        /// Phones with open flows are told to send a keep-alive at least this often; 0: nothing is said.
        flow_timer: Seconds = Seconds(120) => restart,
        /// Whether a Path is refused with 421 when the phone does not know of it, instead of being used.
        path_strict: bool = false => restart,
        /// `Service-Route` of every answer: the proxies that phones shall send their requests through. Empty: none.
        service_route: String = String::new() => restart,
        /// Life of a binding when the phone names none.
        expires_default: Seconds = Seconds(3_600) => restart,
        /// Longest life of a binding; longer wishes are cut to this.
        expires_max: Seconds = Seconds(7_200) => restart,
        /// Shortest life of a binding; shorter wishes get 423.
        expires_min: Seconds = Seconds(60) => restart,
    }
}
