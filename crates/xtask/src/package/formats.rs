//! The formats: each is made by the program that its distribution makes it with.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::{date, put, stage};
use super::{Release, at, binary, empty};
use crate::command::{output, run};
use crate::failure::Failure;
use crate::namespaces;

/// The package for Debian and its relatives, by `dpkg-deb`.
pub(super) fn deb(release: &Release<'_>) -> Result<PathBuf, Failure> {
    let tree = release.scratch.join("deb");
    let files = stage(release, "deb", &tree)?;
    let control = tree.join("DEBIAN");
    fs::create_dir(&control).map_err(at(&control))?;
    let scripts = release.workspace.root().join("packaging/scripts");
    for script in ["postinst", "prerm", "postrm"] {
        let from = scripts.join(format!("deb.{script}"));
        put(release, &from, &control.join(script), "755")?;
    }
    let kept = files.iter().filter(|file| file.keep);
    let kept: String = kept.map(|file| format!("{}\n", file.to)).collect();
    let kilobytes = output(
        Command::new("du")
            .args(["-sk", "--apparent-size"])
            .arg(&tree),
    )?;
    let kilobytes = kilobytes.split_whitespace().next().unwrap_or("0");
    let glibc = binary::glibc(release)?;
    let needs = glibc.map(|version| format!("libc6 (>= {version}), libgcc-s1, "));
    let needs = needs.unwrap_or_default();
    let words = format!(
        "Package: hairpin\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: The Hairpin authors <hairpin@localhost>\n\
         Installed-Size: {kilobytes}\n\
         Depends: {needs}init-system-helpers, systemd | systemd-standalone-sysusers\n\
         Suggests: fail2ban\n\
         Section: net\n\
         Priority: optional\n\
         Description: STUN and TURN relay server, closed by default\n \
         Hairpin relays media and data between browsers, phones and other clients that\n \
         NATs and firewalls keep apart. It relays for authenticated clients only, and to\n \
         public addresses only, until its configuration says otherwise.\n",
        release.version,
        release.target.debian()
    );
    for (name, text) in [("conffiles", kept), ("control", words)] {
        let file = control.join(name);
        fs::write(&file, text).map_err(at(&file))?;
    }
    date(release, &tree)?;
    let package = format!(
        "hairpin_{}_{}.deb",
        release.version,
        release.target.debian()
    );
    let package = release.out.join(package);
    run(Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .args([
            "--root-owner-group",
            if release.quick { "-Zgzip" } else { "-Zxz" },
        ])
        .args([if release.quick { "-z1" } else { "-z6" }, "--build"])
        .args([&tree, &package]))?;
    Ok(package)
}

/// The package for Fedora and its relatives, by `rpmbuild`.
pub(super) fn rpm(release: &Release<'_>) -> Result<PathBuf, Failure> {
    let tree = release.scratch.join("rpm");
    let mut list = String::new();
    for file in stage(release, "rpm", &tree)? {
        // Only root and the service may read what the operator's secrets will stand in.
        let group = if file.mode == "640" {
            "hairpin"
        } else {
            "root"
        };
        let keep = if file.keep { "%config(noreplace) " } else { "" };
        let _ = writeln!(
            list,
            "%attr({}, root, {group}) {keep}{}",
            file.mode, file.to
        );
    }
    list.push_str("%dir %attr(755, root, root) /etc/hairpin\n");
    let files = release.scratch.join("rpm.files");
    fs::write(&files, list).map_err(at(&files))?;
    let place = release.scratch.join("rpmbuild");
    let define = |name: &str, value: &dyn AsRef<Path>| {
        [
            "--define".to_owned(),
            format!("{name} {}", value.as_ref().display()),
        ]
    };
    run(Command::new("rpmbuild")
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .args(["-bb", "--quiet", "--target", release.target.machine()])
        .args(define(
            "_binary_payload",
            &if release.quick {
                "w1.gzdio"
            } else {
                "w12.zstdio"
            },
        ))
        .args(define("_topdir", &place))
        .args(define("_rpmdir", &place))
        .args(define("_build_name_fmt", &"hairpin.rpm"))
        .args(define("hairpin_version", &release.version))
        .args(define("hairpin_tree", &tree))
        .args(define("hairpin_files", &files))
        .arg(release.workspace.root().join("packaging/hairpin.spec")))?;
    let machine = release.target.machine();
    let package = format!("hairpin-{}-1.{machine}.rpm", release.version);
    let package = release.out.join(package);
    fs::rename(place.join("hairpin.rpm"), &package).map_err(at(&package))?;
    Ok(package)
}

/// Runs the binary on a root that has nothing else, no C library either, and has `doctor` examine it from another
/// network. A binary for another machine is emulated.
fn alone(release: &Release<'_>) -> Result<(), Failure> {
    let place = release.scratch.join("alone");
    empty(&place)?;
    let mut run_alone = namespaces::inside(&[
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    run_alone
        .args(["timeout", "120", "sh"])
        .arg(release.workspace.root().join("tests/packaging/alone.sh"))
        .arg(release.made.join("hairpin"))
        .arg(&place);
    if !release.target.is_here() {
        run_alone.arg(format!("/usr/bin/qemu-{}-static", release.target.machine()));
    }
    run(&mut run_alone)
}

/// The archive with the binary, its licences, the commented configuration and the units.
pub(super) fn archive(release: &Release<'_>) -> Result<PathBuf, Failure> {
    let place = release.scratch.join("static");
    let tree = place.join(release.name());
    if binary::glibc(release)?.is_some() {
        let target = release.target.triple();
        let findings = vec![format!("a binary for {target} is not static")];
        return Err(Failure::Findings(findings));
    }
    alone(release)?;
    empty(&tree)?;
    let root = release.workspace.root();
    put(
        release,
        &release.made.join("hairpin"),
        &tree.join("hairpin"),
        "755",
    )?;
    for file in [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "turnserver.toml",
        "packaging/systemd/hairpin.env",
        "packaging/systemd/hairpin.service",
        "packaging/systemd/hairpin.sysusers",
    ] {
        let from = root.join(file);
        let name = from.file_name().unwrap_or_default();
        put(release, &from, &tree.join(name), "644")?;
    }
    date(release, &place)?;
    let package = release.out.join(format!("{}.tar.gz", release.name()));
    let level = if release.quick { 1 } else { 9 };
    run(Command::new("tar")
        .args([
            "--create",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg(format!("--use-compress-program=gzip -{level} --no-name"))
        .arg("--file")
        .arg(&package)
        .arg("--directory")
        .arg(&place)
        .arg(release.name()))?;
    Ok(package)
}

/// The image, by `buildah`, as an archive that `docker load` and `podman load` take.
pub(super) fn image(release: &Release<'_>) -> Result<PathBuf, Failure> {
    let context = release.scratch.join("container");
    empty(&context)?;
    let binary = release.made.join("hairpin");
    put(release, &binary, &context.join("hairpin"), "755")?;
    for directory in ["state", "run"] {
        empty(&context.join(directory))?;
    }
    let file = context.join("Containerfile");
    let mut text = release.workspace.read("packaging/Containerfile")?;
    if binary::glibc(release)?.is_some() {
        // A binary that is not static brings its libraries along: for trying without the toolchain of releases.
        for library in binary::libraries(&binary)? {
            put(
                release,
                &library,
                &context
                    .join("libraries")
                    .join(&library.display().to_string()[1..]),
                "755",
            )?;
        }
        text = text.replace(
            "COPY hairpin /hairpin\n",
            "COPY hairpin /hairpin\nCOPY libraries /\n",
        );
    }
    fs::write(&file, text).map_err(at(&file))?;
    date(release, &context)?;
    let tag = format!("hairpin:{}", release.version);
    let buildah = || {
        let mut buildah = Command::new("buildah");
        // Nothing of the host's: no daemon, no file system that would have to be mounted.
        buildah.args(["--storage-driver", "vfs", "--root"]);
        buildah.arg(release.scratch.join("images"));
        buildah
            .arg("--runroot")
            .arg(release.scratch.join("images-run"));
        buildah
    };
    run(buildah()
        .args([
            "build",
            "--quiet",
            "--isolation",
            "chroot",
            "--format",
            "docker",
        ])
        .args(["--arch", release.target.debian(), "--tag", &tag])
        .args(["--timestamp", &release.epoch.to_string(), "--file"])
        .arg(&file)
        .arg(&context))?;
    let package = release
        .out
        .join(format!("{}-container.tar", release.name()));
    let _ = fs::remove_file(&package);
    run(buildah()
        .args(["push", "--quiet", &tag])
        .arg(format!("docker-archive:{}:{tag}", package.display())))?;
    Ok(package)
}
