//! [`Cost`]: memory and processor time of a room, and whether this machine can carry it.

use lab_containers::{docker, swarm};
use lab_core::error::Failure;
use lab_report::report::human;

/// What one seat needs during a drill, and the server of the room.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Bytes of memory.
    memory: u64,
    /// Share of a core.
    cpu: f64,
}

/// Measured with a release build, as the growth per seat of all processes of a room, with one caller in a quiet drill: 7.9 MiB
/// (PSS, from 2 to 22 seats), and 0.016 cores at 20 requests per second, the rate of most incidents (from 2 to 12 seats). The
/// rest is for the lines of consoles, open pages and the log of a long drill.
const EMBEDDED: Seat = Seat { memory: 9 << 20, cpu: 0.03 };
/// Everything of a seat that is not its lab: the dashboard, the callers and the referee. The lab is on a node of the Swarm. An
/// estimate.
const SWARM: Seat = Seat { memory: 10 << 20, cpu: 0.02 };
/// Postgres, Prometheus, Grafana, nginx and the app. An estimate.
const DOCKER: Seat = Seat { memory: 420 << 20, cpu: 0.08 };
/// Measured like the seats: 24 MiB without them, most of it the program itself, which all processes share. The rest is for
/// eight lines of consoles at once, and for the board and the desk.
const SERVER: Seat = Seat { memory: 56 << 20, cpu: 0.1 };
/// Share of the available memory that a room may use.
const SHARE: f64 = 0.9;

/// Resources of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Bytes of memory that new processes can use. `None` if it is not known.
    memory: Option<u64>,
    cores: usize,
}

impl Machine {
    pub(super) fn inspect() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self { memory: available(&text), cores }
    }
}

/// `MemAvailable` of `/proc/meminfo` in bytes (proc(5)).
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024)
}

/// Cost of a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    seats: u16,
    seat: Seat,
}

impl Cost {
    /// Cost of a number of seats on an engine.
    pub(super) fn new(seats: u16, engine: &str) -> Self {
        let seat = match engine {
            docker::NAME => DOCKER,
            swarm::NAME => SWARM,
            _ => EMBEDDED,
        };
        Self { seats, seat }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> u64 {
        SERVER.memory + u64::from(self.seats) * self.seat.memory
    }

    /// Cores.
    pub(super) fn cpu(&self) -> f64 {
        SERVER.cpu + f64::from(self.seats) * self.seat.cpu
    }

    /// The cost in words, with what this machine has.
    pub(super) fn describe(&self, machine: &Machine) -> String {
        let memory = machine.memory.map(|memory| format!(" of {} available", human::bytes(memory))).unwrap_or_default();
        format!(
            "{} need about {}{memory}, and {} of {} in a drill",
            human::count(self.seats.into(), "seat"),
            human::bytes(self.memory()),
            human::number((self.cpu() * 10.0).ceil() / 10.0),
            human::count(machine.cores as u64, "core"),
        )
    }

    /// Refuses a room that is too large for this machine.
    pub(super) fn check(&self, machine: &Machine) -> Result<(), Failure> {
        let most = self.most(machine);
        if self.seats <= most {
            return Ok(());
        }
        let failure = Failure::failed(format!("this machine cannot carry the room: {}", self.describe(machine)));
        Err(failure.hint(match most {
            0 => "free some memory, or use a larger machine".to_owned(),
            most => format!("at most {} fit: --seats and --reserve count together", human::count(most.into(), "seat")),
        }))
    }

    /// Most seats that fit.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "sizes of machines are small, and the cast saturates"
    )]
    fn most(&self, machine: &Machine) -> u16 {
        let by_cpu = (machine.cores as f64 - SERVER.cpu) / self.seat.cpu;
        let by_memory = machine
            .memory
            .map_or(f64::INFINITY, |memory| (memory as f64 * SHARE - SERVER.memory as f64) / self.seat.memory as f64);
        by_cpu.min(by_memory).max(0.0).floor() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_must_fit_the_memory_and_the_cores() {
        let machine = Machine { memory: Some(1 << 30), cores: 2 };
        let cost = Cost::new(30, lab_embedded::NAME);
        assert_eq!(
            cost.describe(&machine),
            "30 seats need about 341.8 MB of 1.1 GB available, and 1 of 2 cores in a drill"
        );
        cost.check(&machine).unwrap();
        let few = Cost::new(30, docker::NAME).check(&machine).unwrap_err();
        assert_eq!(few.hint.as_deref(), Some("at most 2 seats fit: --seats and --reserve count together"));
        let slow = Cost::new(64, lab_embedded::NAME).check(&Machine { memory: None, cores: 2 }).unwrap_err();
        assert_eq!(slow.hint.as_deref(), Some("at most 63 seats fit: --seats and --reserve count together"));
        let none = Cost::new(1, docker::NAME).check(&Machine { memory: Some(1 << 20), cores: 2 }).unwrap_err();
        assert!(none.hint.unwrap().contains("larger machine"));
    }

    #[test]
    fn the_available_memory_is_read() {
        let text = "MemTotal:       16384000 kB\nMemFree:  100 kB\nMemAvailable:    8192000 kB\n";
        assert_eq!(available(text), Some(8_192_000 * 1024));
        assert_eq!(available(""), None);
    }
}
