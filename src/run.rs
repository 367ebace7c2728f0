//! The inspection loop: the only place that reads a clock and owns devices and threads.
