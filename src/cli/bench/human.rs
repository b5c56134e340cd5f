//! A measurement in words, with a plot of the latencies.

use std::fmt::Write;

use bench::{Cost, Latency, Measured, Mode, Packets, Plan, Rate, Step, Transport};

/// The result as a table of two columns, a plot, and what may be doubted.
pub(super) fn text(plan: &Plan, measured: &Measured) -> String {
    let mut text = heading(plan, measured);
    text += &packets(plan.mode, measured);
    if let Some(cost) = &measured.cost {
        text += &costs(plan.mode, cost);
    }
    if let Some(latency) = &measured.latency {
        text += &latencies(latency);
    }
    for remark in &measured.remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    text
}

pub(super) const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
    }
}

pub(super) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Up => "up",
        Mode::Down => "down",
        Mode::Both => "both",
        Mode::Relay => "relay",
        Mode::Binding => "binding",
        Mode::Allocate => "allocate",
        Mode::Connect => "connect",
        Mode::Idle => "idle",
    }
}

fn heading(plan: &Plan, measured: &Measured) -> String {
    let load = match plan.mode {
        Mode::Up => "clients to peers",
        Mode::Down => "peers to clients",
        Mode::Both => "clients to peers and back",
        Mode::Relay => "clients to clients",
        Mode::Binding => "Binding requests",
        Mode::Allocate => "Allocate and Refresh to 0",
        Mode::Connect => "connections",
        Mode::Idle => "allocations that are held",
    };
    let has_data = !matches!(
        plan.mode,
        Mode::Binding | Mode::Allocate | Mode::Connect | Mode::Idle
    );
    let data = if has_data {
        let framing = if plan.indications {
            "in indications"
        } else {
            "on channels"
        };
        format!(" {framing}, {} bytes,", plan.payload)
    } else {
        ",".to_owned()
    };
    let bursts = if plan.burst > 1 {
        let together = if plan.together { " together" } else { "" };
        format!(" in bursts of {}{together}", plan.burst)
    } else {
        String::new()
    };
    let rate = match plan.rate {
        Rate::Max => "as many as come back".to_owned(),
        Rate::Even(rate) => format!("{rate} a second"),
        Rate::Ramp => "the highest rate with at most 0.5 % loss".to_owned(),
    };
    let (server, flows) = (plan.server, plan.flows);
    let over = transport(plan.transport);
    let seconds = measured.seconds;
    format!(
        "{load}{data} {flows} flows over {over} to {server}, {rate}{bursts}, {seconds:.1} s\n\n"
    )
}

fn packets(mode: Mode, measured: &Measured) -> String {
    let Packets {
        sent,
        received,
        late,
        duplicates,
        astray,
        damaged,
    } = measured.packets;
    let a_second = |count: u64| count as f64 / measured.seconds;
    match mode {
        Mode::Idle => format!("held         {sent} allocations\n"),
        Mode::Allocate | Mode::Connect => {
            let mut text = format!(
                "cycles       {received}, {:.0} a second",
                a_second(received)
            );
            let again = sent.saturating_sub(received);
            if again > 0 {
                let _ = write!(text, "; {again} ports were still known to the server (437)");
            }
            text + "\n"
        }
        Mode::Up | Mode::Down | Mode::Both | Mode::Relay | Mode::Binding => format!(
            "sent         {sent}, {:.0} a second\n\
             arrived      {received}, {:.0} a second; {:.2} % lost, {late} out of order; \
             {duplicates} twice, {astray} astray, {damaged} damaged\n",
            a_second(sent),
            a_second(received),
            measured.packets.loss() * 100.0,
        ),
    }
}

fn costs(mode: Mode, cost: &Cost) -> String {
    let what = if matches!(mode, Mode::Allocate | Mode::Connect) {
        "cycles"
    } else {
        "packets"
    };
    let mut text = String::new();
    if let Some(cpu) = cost.cpu_seconds_per_million {
        let user = cost.user_share * 100.0;
        let _ = writeln!(
            text,
            "cost         {cpu:.2} CPU seconds per million {what}, {user:.0} % of it outside the kernel"
        );
    }
    let _ = writeln!(
        text,
        "server       {:.2} processors, {:.1} MB of memory",
        cost.processors,
        cost.resident as f64 / 1e6
    );
    if let Some(bytes) = cost.per_allocation {
        let _ = writeln!(
            text,
            "allocation   {:.2} KiB of memory each",
            bytes / 1024.0
        );
    }
    text
}

fn latencies(latency: &Latency) -> String {
    let Latency {
        p50,
        p90,
        p99,
        p999,
        max,
        ref distribution,
    } = *latency;
    let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(time);
    let mut text = format!(
        "latency      median {p50}, 90 % {p90}, 99 % {p99}, 99.9 % {p999}, longest {max}\n\n"
    );
    let all: u64 = distribution.iter().map(|step| step.packets).sum();
    for Step { up_to, packets } in distribution {
        let share = *packets as f64 / all.max(1) as f64;
        let bar = "█".repeat((share * WIDTH).ceil() as usize);
        let up_to = time(*up_to);
        let _ = writeln!(text, "{up_to:>12} {bar} {:.2} %", share * 100.0);
    }
    text.push('\n');
    text
}

/// A time in the unit that fits.
fn time(microseconds: f64) -> String {
    if microseconds < 1e3 {
        format!("{microseconds:.0} µs")
    } else if microseconds < 1e6 {
        format!("{:.2} ms", microseconds / 1e3)
    } else {
        format!("{:.2} s", microseconds / 1e6)
    }
}

/// The longest bar.
const WIDTH: f64 = 50.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bench::Remark;

    use super::*;

    fn plan(mode: Mode) -> Plan {
        Plan {
            server: "127.0.0.1:3478".parse().unwrap(),
            transport: Transport::Udp,
            trust: None,
            credentials: None,
            peer: None,
            mode,
            indications: false,
            payload: 160,
            burst: 4,
            together: false,
            flows: 20,
            rate: Rate::Max,
            duration: Duration::from_secs(2),
            threads: 1,
            pid: Some(1),
        }
    }

    fn measured() -> Measured {
        let step = |up_to, packets| Step { up_to, packets };
        Measured {
            seconds: 2.0,
            packets: Packets {
                sent: 200_000,
                received: 199_000,
                late: 3,
                duplicates: 5,
                astray: 6,
                damaged: 7,
            },
            latency: Some(Latency {
                p50: 12.4,
                p90: 900.0,
                p99: 1_500.0,
                p999: 20_000.0,
                max: 2_000_000.0,
                distribution: vec![step(16.4, 149_250), step(2_097_152.0, 49_750)],
            }),
            cost: Some(Cost {
                cpu_seconds_per_million: Some(8.125),
                user_share: 0.41,
                processors: 0.99,
                resident: 36_800_000,
                per_allocation: None,
            }),
            remarks: vec![Remark::GeneratorWasTheLimit, Remark::Disturbed(0.063)],
        }
    }

    #[test]
    fn the_whole_result_is_told_in_words() {
        let (most, least) = ("█".repeat(38), "█".repeat(13));
        let told = format!(
            "\
clients to peers and back on channels, 160 bytes, 20 flows over udp to 127.0.0.1:3478, as many as come back in bursts of 4, 2.0 s

sent         200000, 100000 a second
arrived      199000, 99500 a second; 0.50 % lost, 3 out of order; 5 twice, 6 astray, 7 damaged
cost         8.12 CPU seconds per million packets, 41 % of it outside the kernel
server       0.99 processors, 36.8 MB of memory
latency      median 12 µs, 90 % 900 µs, 99 % 1.50 ms, 99.9 % 20.00 ms, longest 2.00 s

       16 µs {most} 75.00 %
      2.10 s {least} 25.00 %

note: the load generator was the limit, and not the server: give it more processors (--threads), or fewer to the server
note: other programs used 6.3 % of a processor meanwhile: the machine was not quiet
"
        );
        assert_eq!(text(&plan(Mode::Both), &measured()), told);
    }

    #[test]
    fn without_arrivals_and_without_a_process_nothing_is_told_of_them() {
        let nothing = Measured {
            packets: Packets {
                sent: 10,
                ..Packets::default()
            },
            latency: None,
            cost: None,
            remarks: vec![Remark::Lost(1.0), Remark::GeneratorWasFull],
            ..measured()
        };
        let plan = Plan {
            indications: true,
            burst: 1,
            rate: Rate::Even(5),
            ..plan(Mode::Up)
        };
        assert_eq!(
            text(&plan, &nothing),
            "clients to peers in indications, 160 bytes, 20 flows over udp to 127.0.0.1:3478, 5 a second, 2.0 s\n\n\
             sent         10, 5 a second\n\
             arrived      0, 0 a second; 100.00 % lost, 0 out of order; 0 twice, 0 astray, 0 damaged\n\
             note: 100.0 % of the packets did not arrive\n\
             note: the load generator used all of its processors: it, and not the server, may have been the limit. \
             On the server's host --pid tells; more processors (--threads) make the generator faster\n"
        );
    }

    #[test]
    fn cycles_and_held_allocations_are_told_as_such() {
        let told = text(&plan(Mode::Allocate), &measured());
        for line in [
            "Allocate and Refresh to 0, 20 flows over udp",
            "cycles       199000, 99500 a second; 1000 ports were still known to the server (437)\n",
            "8.12 CPU seconds per million cycles",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        let mut held = measured();
        if let Some(cost) = &mut held.cost {
            cost.cpu_seconds_per_million = None;
            cost.per_allocation = Some(1536.0);
        }
        let told = text(&plan(Mode::Idle), &held);
        assert!(told.contains("held         200000 allocations\n"), "{told}");
        assert!(
            told.contains("allocation   1.50 KiB of memory each\n"),
            "{told}"
        );
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (microseconds, told) in [(12.4, "12 µs"), (1_500.0, "1.50 ms"), (2e6, "2.00 s")] {
            assert_eq!(time(microseconds), told);
        }
    }

    #[test]
    fn the_bars_are_the_shares_of_the_packets() {
        let step = |up_to, packets| Step { up_to, packets };
        let told = latencies(&Latency {
            p50: 1.0,
            p90: 2.0,
            p99: 2.0,
            p999: 2.0,
            max: 2.0,
            distribution: vec![step(1.0, 75), step(2.0, 25)],
        });
        let bars: Vec<usize> = told.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(bars, [0, 0, 38, 13, 0]);
    }
}
