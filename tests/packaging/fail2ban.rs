//! The jail for Fail2Ban, read by Fail2Ban itself.

use std::path::Path;
use std::process::Command;

use super::text;

#[test]
fn fail2ban_takes_the_jail_with_the_filter_beside_it() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let place = place.path().join("fail2ban");
    // Debian's own files, of which a jail has its actions, and no jail of the machine.
    run(Command::new("cp")
        .arg("-r")
        .args([Path::new("/etc/fail2ban"), &place]));
    let jails = place.join("jail.d");
    std::fs::remove_dir_all(&jails).expect("ours");
    std::fs::create_dir(&jails).expect("ours");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/fail2ban");
    for file in ["filter.d/hairpin.conf", "jail.d/hairpin.conf"] {
        std::fs::copy(shipped.join(file), place.join(file)).expect("ours");
    }
    let read = |how| {
        run(Command::new("fail2ban-client")
            .arg("-c")
            .arg(&place)
            .arg(how))
    };
    assert!(read("-t").contains("OK: configuration test is successful"));
    // All that Fail2Ban would do at its start.
    let start = read("--dp");
    for words in [
        "['add', 'hairpin', 'systemd']",
        "auth\\\\.failed client=",
        "'addjournalmatch', '_SYSTEMD_UNIT=hairpin.service'",
        "['set', 'hairpin', 'maxretry', 30]",
        "['set', 'hairpin', 'bantime', '1h']",
        "['port', '443,3478,5349']",
        "['protocol', 'udp,tcp']",
        "['start', 'hairpin']",
    ] {
        assert!(start.contains(words), "{words} is not in:\n{start}");
    }
    assert_eq!(start.matches("['start', ").count(), 1, "{start}");
}

fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.expect("the program (Debian package fail2ban)");
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    text(&output.stdout)
}
