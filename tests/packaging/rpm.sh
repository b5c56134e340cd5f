#!/bin/sh
# Installs, upgrades and erases the rpm by rpm itself, whose scripts run in a tree that is thrown away. It is Debian's:
# Fedora cannot be had here. A stand-in for systemctl notes what it is asked for.
# $1 the tree of a fresh Debian, $2 the package, $3 a directory of the test's own
set -eu
base=$1 package=$2 place=$3
. "$(dirname "$0")/shared.sh"

mount -t tmpfs tmpfs "$place"
root=$place/root
mkdir "$place/upper" "$place/work" "$root"
mount -t overlay over -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" "$root"
mkdir -p "$root/run/systemd/system"
printf '#!/bin/sh\necho "$*" >>/srv/systemctl\n' >"$place/systemctl"
install -m 755 "$place/systemctl" "$root/usr/bin/systemctl"

inside() { /usr/sbin/chroot "$root" "$@"; }
# The packages that it requires are those of Fedora.
does() {
    rm -f "$root/srv/systemctl"
    rpm --root "$root" --nodeps "$@" >"$place/log" 2>&1 || fail "rpm $*"
}
asked() { test "$(cat "$root/srv/systemctl")" = "$(printf "$@")" || fail "systemctl: $(cat "$root/srv/systemctl")"; }
configuration=$root/etc/hairpin/turnserver.toml

does --install "$package"
asked 'daemon-reload\n--no-reload preset hairpin.service'
inside getent passwd hairpin | grep -q ':/usr/sbin/nologin$' || fail "no user"
test "$(inside stat -c %a:%U:%G /etc/hairpin/turnserver.toml)" = 640:root:hairpin || fail "who may read the configuration"
inside hairpin check --config /etc/hairpin/turnserver.toml || fail "the configuration"

# The same package once more is an upgrade to the scripts.
printf '\n[log]\nlevel = "debug"\n' >>"$configuration"
does --reinstall "$package"
asked 'daemon-reload\ndaemon-reload\n--no-block try-restart hairpin.service'
grep -q debug "$configuration" || fail "the configuration is another one"

cp "$configuration" "$place/good"
echo 'unheard-of = 1' >"$configuration"
does --reinstall "$package"
asked 'daemon-reload\ndaemon-reload'
grep -q 'running server was left as it is' "$place/log" || fail "it does not say that the configuration is refused"
cat "$place/good" >"$configuration"

does --erase hairpin
asked '%s\ndaemon-reload' '--no-reload disable --now hairpin.socket hairpin.service'
test ! -e "$root/usr/bin/hairpin" || fail "the program is there still"
grep -q debug "$configuration.rpmsave" || fail "the operator's configuration is gone"
