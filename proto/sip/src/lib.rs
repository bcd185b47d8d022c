//! SIP without sockets or clocks. (Head to be written by its builders.)
