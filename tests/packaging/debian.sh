#!/bin/sh
# Installs, upgrades, removes and purges the package on a Debian 12 that has booted: systemd runs, in namespaces of its
# own, in a tree that is thrown away.
# $1 the tree of a fresh Debian, $2 the package, $3 the binary, $4 a directory of the test's own, $5 a directory with
# command lines of the README
set -eu
base=$1 package=$2 here=$3 place=$4 readme=$5
. "$(dirname "$0")/shared.sh"
. "$(dirname "$0")/readme.sh"

say() { echo "── $* [$(cut -d' ' -f1 /proc/uptime)]"; }
fail() {
    echo "FAILED: $*"
    inside journalctl --no-pager -u hairpin | tail -n 30
    exit 1
}
inside() { nsenter --target "$systemd" --mount --uts --ipc --pid --root --wd "$@" </dev/null; }
elsewhere() { nsenter --target "$far" --net "$@"; }
main_pid() { inside systemctl show --value -p MainPID hairpin; }
is_another() { test "$(main_pid)" != "$before" && inside systemctl is-active hairpin; }
# A call over $1, udp or tcp; its client is told what it hears in $place/$1, and is the process $caller.
call() {
    nsenter --target "$far" --net python3 "$(dirname "$0")/caller.py" "$1" 198.41.0.10 3478 \
        "$(field username)" "$(field credential)" >"$place/$1" 2>&1 &
    caller=$!
    until_true grep -qx 200 "$place/$1"
}
is_relaying() { ss -Hlun "sport = :$(sed -n 's/^relayed //p' "$place/$1")" | grep -q .; }
is_free() { ! is_relaying "$1"; }
hears() { test "$(tail -n 1 "$place/$1")" = "$2"; }
# All that is on the disk but for what apt and dpkg note for themselves, and the users.
inventory() {
    (cd "$root" && find etc usr opt var -xdev \( -path var/lib/dpkg -o -path var/lib/apt -o -path var/cache \
        -o -path var/log -o -path var/lib/systemd -o -path var/tmp \) -prune -o -print |
        grep -v -e '^etc/.*-$' -e '^etc/\.pwd\.lock$' | sort)
    (cd "$root" && find var/log -name "*hairpin*")
    cut -d: -f1 "$root/etc/passwd" "$root/etc/group"
}

# A tree over the fresh one, and the groups of processes that systemd wants.
mount -t tmpfs tmpfs "$place"
root=$place/root
mkdir "$place/upper" "$place/work" "$root" "$place/run"
mount -t overlay over -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" "$root"
mount --bind "$place/run" /run
umount --recursive /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup

another_network
name_this_host

say boot
cp "$package" "$root/srv/hairpin.deb"
# Whoever types is root already.
printf '#!/bin/sh\nexec "$@"\n' >"$root/usr/local/bin/sudo"
chmod 755 "$root/usr/local/bin/sudo"
# --keep-unit and --register=no: there is no systemd out here that would be told.
systemd-nspawn --quiet --directory "$root" --register=no --keep-unit --boot --console=pipe \
    </dev/null >"$place/console" 2>&1 &
nspawn=$!
systemd_of() { systemd=$(pgrep --exact --parent "$nspawn" systemd); }
until_true systemd_of
until_true inside systemctl is-system-running --wait
inventory >"$place/before"

say install and first use, with the lines of the README
sed -n 's|.*\./\(hairpin_[^ ]*\.deb\).*|\1|p' "$readme/package.sh" >"$place/name"
mkdir "$root/srv/reader"
cp "$package" "$root/srv/reader/$(cat "$place/name")"
cp "$readme/package.sh" "$root/srv/reader/package.sh"
begin
inside env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    sh -ec 'cd /srv/reader && . ./package.sh' >"$place/made" 2>&1 || fail "$(cat "$place/made")"
prove
say_how_long "package for Debian, with the lines of the README" 60
rm -r "$root/srv/reader"

say what is installed
until_true inside systemctl is-active hairpin
test "$(inside systemctl is-enabled hairpin)" = enabled || fail "it does not start with the host"
test "$(inside stat -c %a:%U:%G /etc/hairpin/turnserver.toml)" = 640:root:hairpin || fail "who may read the configuration"
test "$(inside stat -L -c %a:%U /var/lib/hairpin/secret)" = 600:hairpin || fail "who may read the secret"
inside journalctl -u hairpin | grep -q 'secret\.kept.*/var/lib/hairpin/secret' || fail "the log does not say where the secret is"
test "$(inside stat -c %U /proc/"$(main_pid)")" = hairpin || fail "it runs as another user"
inside hairpin check --config /etc/hairpin/turnserver.toml >"$place/check" 2>&1 || fail "$(cat "$place/check")"
! grep -q warning "$place/check" || fail "$(cat "$place/check")"
inside hairpin health --config /etc/hairpin/turnserver.toml

# Nobody but root and the server reads the secret, and without a credential nobody is relayed for.
! elsewhere "$here" doctor turn:198.41.0.10 --user alice --password guessed-by-nobody >/dev/null || fail "anybody is relayed for"

say commands find the server
# Nobody, who has groups only by these words.
nobody_asks() { inside setpriv --reuid=nobody --regid=nogroup "$@" hairpin status >"$place/status" 2>&1; }
inside hairpin status >"$place/status" || fail "root: $(cat "$place/status")"
grep -q '^listening ' "$place/status" || fail "$(cat "$place/status")"
nobody_asks --groups=hairpin || fail "a member of the group: $(cat "$place/status")"
grep -q '^listening ' "$place/status" || fail "$(cat "$place/status")"
! nobody_asks --clear-groups || fail "a stranger is let in"
grep -q 'Permission denied.*(run it as root, or as a user of the group hairpin)' "$place/status" ||
    fail "a stranger: $(cat "$place/status")"

say reload
before=$(main_pid)
cp "$root/etc/hairpin/turnserver.toml" "$place/good"
has_7_channels() { inside hairpin config --json | grep -q '"channels": 7'; }
has_the_default() { ! has_7_channels; }
printf '\n[allocation]\nchannels = 7\n' >>"$root/etc/hairpin/turnserver.toml"
inside systemctl reload hairpin
until_true has_7_channels
sed -i 's/^channels = 7/&\nunheard-of = 1/' "$root/etc/hairpin/turnserver.toml"
! inside systemctl reload hairpin 2>"$place/refused" || fail "a faulty file is taken"
inside journalctl -u hairpin | grep -q 'unknown key `unheard-of`' || fail "nothing says what is wrong with the file"
has_7_channels || fail "a faulty file changes something"
cat "$place/good" >"$root/etc/hairpin/turnserver.toml"
inside systemctl reload hairpin
until_true has_the_default
test "$(main_pid)" = "$before" || fail "a reload is a restart"

say upgrade during calls
before=$(main_pid)
secret=$(inside cat /var/lib/hairpin/secret)
printf '\n[log]\nlevel = "debug"\n' >>"$root/etc/hairpin/turnserver.toml"
inside chmod 600 /etc/default/hairpin
dpkg-deb --raw-extract "$package" "$place/next"
sed -i 's/^Version: .*/Version: 999/' "$place/next/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 --build "$place/next" "$root/srv/next.deb" >/dev/null
call tcp
call udp
is_relaying udp && is_relaying tcp || fail "it does not relay"
inside apt-get install --yes /srv/next.deb
until_true is_another
test "$(inside cat /var/lib/hairpin/secret)" = "$secret" || fail "the secret is another one"
inside tail -n 1 /etc/hairpin/turnserver.toml | grep -q debug || fail "the configuration is another one"
test "$(inside stat -c %a:%U:%G /etc/hairpin/turnserver.toml)" = 640:root:hairpin || fail "who may read the configuration"
test "$(inside stat -c %a /etc/default/hairpin)" = 600 || fail "the operator's mode is gone"
# Clients learn of it: one by its next request (RFC 8656 section 7.3: it has no allocation), the other at once.
until_true hears udp 437
until_true hears tcp closed
kill "$caller"
is_free udp && is_free tcp || fail "a relay port of the old server is taken"
prove

say an upgrade that waits for a call
inside sed -i 's/^#drain = .*/drain = "1m"/' /etc/hairpin/turnserver.toml
inside systemctl reload hairpin || fail "it does not reload"
before=$(main_pid)
call udp
inside apt-get install --yes --reinstall /srv/next.deb
is_draining() { test "$(inside systemctl is-active hairpin)" = deactivating; }
until_true is_draining
! elsewhere "$here" doctor turn:198.41.0.10 --user "$(field username)" --password "$(field credential)" >"$place/doctor" ||
    fail "it takes new clients while it waits for the old ones"
grep -q 508 "$place/doctor" || fail "$(cat "$place/doctor")"
# A client that waits for a processor may hear nothing for a while.
until_true hears udp 200
! grep -qx 437 "$place/udp" && is_relaying udp || fail "the call has ended: $(tail -n 3 "$place/udp")"
test "$(main_pid)" = "$before" || fail "it has not waited for the call"
kill "$caller"
until_true hears udp "hung up 200"
until_true is_another
is_free udp || fail "a relay port of the old server is taken"

say an upgrade that refuses the configuration
before=$(main_pid)
cp "$root/etc/hairpin/turnserver.toml" "$place/good"
echo 'unheard-of = 1' >"$root/etc/hairpin/turnserver.toml"
inside apt-get install --yes --reinstall /srv/next.deb >"$place/refused" 2>&1 || fail "$(cat "$place/refused")"
grep -q 'running server was left as it is' "$place/refused" || fail "$(cat "$place/refused")"
test "$(main_pid)" = "$before" || fail "the server that ran is gone"
inside systemctl is-active hairpin
cat "$place/good" >"$root/etc/hairpin/turnserver.toml"

say port 443 by the socket unit, without any capability
mkdir "$root/etc/systemd/system/hairpin.service.d"
printf '[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n' \
    >"$root/etc/systemd/system/hairpin.service.d/no-capability.conf"
for transport in udp tcp; do
    printf '\n[[listener]]\ntransport = "%s"\nlisten = "%s:443"\n' $transport 0.0.0.0 $transport '[::]'
done >>"$root/etc/hairpin/turnserver.toml"
inside systemctl daemon-reload
inside systemctl stop hairpin
! inside systemctl start hairpin || fail "everybody may bind port 443 here, so that this shows nothing"
inside journalctl -u hairpin | grep -q ':443: Permission denied' || fail "it does not start for another reason"
inside systemctl stop hairpin
inside systemctl enable --now hairpin.socket
inside systemctl start hairpin || fail "it does not start"
inside cat "/proc/$(main_pid)/status" >"$place/status"
for set in CapEff CapPrm CapAmb CapBnd; do
    grep -q "^$set:[[:space:]]*0*\$" "$place/status" || fail "it has capabilities: $(cat "$place/status")"
done
sed -i 's/turn.example.org/&:443/g' "$place/reader/doctor.sh"
(cd "$place/reader" && PATH="$PWD:$PATH" elsewhere sh -e doctor.sh) >"$place/doctor" || fail "$(cat "$place/doctor")"
cat "$place/good" >"$root/etc/hairpin/turnserver.toml"
rm -r "$root/etc/systemd/system/hairpin.service.d"
inside systemctl daemon-reload

say remove
inside apt-get remove --yes hairpin
! inside systemctl is-active hairpin || fail "it still runs"
test -e "$root/etc/hairpin/turnserver.toml" || fail "a removal takes the configuration"
test -e "$root/var/lib/private/hairpin/secret" || test -e "$root/var/lib/hairpin/secret" || fail "a removal takes the secret"

say purge
inside apt-get purge --yes hairpin
rm "$root/srv/hairpin.deb" "$root/srv/next.deb"
inventory >"$place/after"
diff "$place/before" "$place/after" || fail "a purge leaves something"
say end
