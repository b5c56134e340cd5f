#!/bin/sh
# Runs the static binary on a root that holds it and nothing else, and examines it from another network.
# $1 the binary, $2 a directory of the caller's, $3 the emulator of its processor, if it needs one
set -eu
binary=$1 place=$2 emulator=${3:-}
. "$(dirname "$0")/shared.sh"

mount -t tmpfs tmpfs "$place"
root=$place/root
mkdir -p "$root/proc"
# Programs of every host have it; the addresses of the host are read there.
mount -t proc proc "$root/proc"
cp "$binary" "$root/hairpin"
if [ -n "$emulator" ]; then
    cp "$emulator" "$root/emulator"
    emulator=/emulator
fi
hairpin() { env -i /usr/sbin/chroot "$root" $emulator /hairpin "$@"; }

another_network

begin
hairpin serve --state-dir /state >"$place/log" 2>&1 &
until_true hairpin health
cat "$place/told"
nsenter --target "$far" --net chroot "$root" $emulator /hairpin doctor turn:198.41.0.10 \
    "turn:198.41.0.10?transport=tcp" --secret-file /state/secret >"$place/doctor" || fail "it does not work"
head -n 3 "$place/doctor"
say_how_long "alone on a root without a C library" 60
