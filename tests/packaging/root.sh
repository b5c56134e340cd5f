#!/bin/sh
# Runs command lines of our documents in a throw-away root: a mount, network and process namespace whose /usr is this
# machine's under an overlay, and whose /etc has what a fresh Debian 12 has and nothing else.
# $1 the repository, $2 the server's binary, $3 the test's directory with the command lines, in order, in commands/*.sh
set -eu
place=$3 root=$3/root
. "$(dirname "$0")/shared.sh"
mkdir "$root"
mount -t tmpfs root "$root"

over() { # a directory that may be changed without changing the one below it
    mkdir -p "$root/upper$2" "$root/work$2" "$root$2"
    mount -t overlay over -o "lowerdir=$1,upperdir=$root/upper$2,workdir=$root/work$2" "$root$2"
}
over /usr /usr
over "$1" /srv/hairpin
for link in /bin /sbin /lib*; do # links into /usr
    test ! -L "$link" || cp -P "$link" "$root"
done
cp "$1"/tests/packaging/stand_ins/* "$root/usr/local/bin"
chmod 755 "$root"/usr/local/bin/*

cd "$root"
mkdir -p etc/default etc/systemd/system etc/ssl dev proc run root var/lib
mkdir -m 1777 tmp
cp -a /etc/alternatives /etc/debian_version /etc/ld.so.* etc
cp /etc/ssl/openssl.cnf etc/ssl
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
printf 'passwd: files\ngroup: files\nhosts: files\n' >etc/nsswitch.conf
printf '127.0.0.1 localhost\n198.41.0.10 turn.example.org\n' >etc/hosts
mount --rbind /dev dev
mount -t proc proc proc
install -m 755 "$2" run/hairpin-that-was-built
cp -r "$3/commands" run/commands

link_to_the_internet

for commands in run/commands/*.sh; do
    echo "── $(head -n 1 "$commands")"
    # A line that waits for ever fails with 124, and is shown.
    timeout 120 chroot . env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 \
        bash -c 'cd /srv/hairpin && . "$0"' "/$commands" </dev/null 2>&1 || {
        echo "FAILED with $?:"
        cat "$commands"
        exit 1
    }
done
