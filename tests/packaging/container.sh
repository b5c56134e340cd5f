#!/bin/sh
# Runs the image of the release by buildah as it is, with a root that nobody may write to, and with the command lines of
# the README and of docs/recipes/containers.md.
# $1 the archive of the image, $2 a directory of the test's own, $3 a directory with command lines of the documents,
# $4 the compose file
set -eu
archive=$1 place=$2 readme=$3 compose=$4
. "$(dirname "$0")/shared.sh"
. "$(dirname "$0")/readme.sh"

images() { buildah --storage-driver vfs --root "$place/images" --runroot "$place/images-run" "$@"; }
said() { images inspect --type container --format "$1" "$container"; }

mount -t tmpfs tmpfs "$place"
another_network
name_this_host

container=$(images from --quiet "docker-archive:$archive")
said '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}} {{.Docker.Config.Healthcheck.Test}}' \
    >"$place/meant"
test "$(cat "$place/meant")" = "65532:65532 [/hairpin] [serve] [CMD /hairpin health]" || fail "$(cat "$place/meant")"
tree=$(images mount "$container")
here=$tree/hairpin

# As it is, without any variable: it makes a secret of its own in the volume.
runs() { images run --isolation chroot "$@"; }
runs "$container" -- /hairpin serve >"$place/log" 2>&1 &
served=$!
until_true grep -q server.relaying "$place/log"
until_true runs "$container" -- /hairpin health
grep -q '^healthy: it answers at 127.0.0.1:3478 over UDP' "$place/told" || fail "$(cat "$place/told")"
grep -q 'secret.kept.*/var/lib/hairpin/secret' "$place/log" || fail "no secret of its own"
pkill --parent "$served" || kill "$served"
wait "$served" || true
stopped() { ! runs "$container" -- /hairpin health; }
until_true stopped
grep -q '^unhealthy: 127.0.0.1:3478 over UDP does not answer' "$place/told" || fail "$(cat "$place/told")"

# Its root read-only, with the variables in $variables and nothing else of this host.
root=$place/root
mkdir "$root"
mount --bind "$tree" "$root"
mkdir -p "$root/run/secrets"
touch "$root/run/secrets/turn"
mount -o remount,bind,ro "$root"
inside() { env -i $variables ${configuration:+"HAIRPIN_CONFIG_TOML=$configuration"} /usr/sbin/chroot --userspec=65532:65532 "$root" "$@"; }
begins() { # and writes its log to $1
    inside /hairpin serve >"$1" 2>&1 &
    served=$!
    until_true grep -q server.relaying "$1"
    until_true inside /hairpin health
}
ends() {
    pkill -TERM --parent "$served" || kill -TERM "$served"
    wait "$served" || fail "it does not end well"
}

# Its configuration in variables alone, without any volume.
secret=Zm9yIHRoaXMgdGVzdCBhbG9uZQ==
variables="HAIRPIN_REALM=turn.example.org HAIRPIN_SECRET=$secret"
configuration=$(printf '[relay]\nports = "50000-50099"\n')
begin
begins "$place/log-of-variables"
grep -q 'server.relaying.*50000.*50099' "$place/log-of-variables" || fail "other ports"
echo "$secret" >"$place/secret"
nsenter --target "$far" --net "$here" doctor turn:198.41.0.10 "turn:198.41.0.10?transport=tcp" \
    --secret-file "$place/secret" >"$place/doctor" || fail "it does not work"
say_how_long "container that has its configuration in variables" 30
ends
configuration=

name=
# Docker wants a daemon. This does what these arguments mean, and fails at any other.
docker() {
    case "$1 $2" in
    "load --input")
        test "${3##hairpin-*-linux-container.tar}" = "" || fail "the README loads $3"
        ;;
    "run --name")
        name=$3
        shift 3
        test "$1 $2 $3 $4 $5 $6" = "--detach --restart unless-stopped --network host --read-only" || fail "docker run $*"
        # A volume with a name begins as the image has that place.
        test "$7" = --volume || fail "docker run $*"
        volumes | grep -qw "${8#hairpin:}" || fail "the image has the volumes $(volumes), not $8"
        test "$9 ${10%%=*}" = "--env HAIRPIN_REALM" || fail "docker run $*"
        images images --noheading --format '{{.Name}}:{{.Tag}}' | grep -q "/${11}\$" || fail "the README runs ${11}"
        with_volumes "${10}"
        begins "$place/log-of-docker"
        ;;
    "exec $name" | "compose exec")
        shift
        test "$1" != exec || shift
        test "$1" = "$name" || fail "there is no container $1"
        shift
        inside "$@"
        ;;
    "compose up")
        name=hairpin
        grep -q "^  $name:\$" "$compose" || fail "no service $name"
        mount --bind turn.secret "$root/run/secrets/turn"
        # The variables of one line; those of comments are not set.
        with_volumes "$(sed -n 's/^ *\(HAIRPIN_[A-Z_]*\): \([^ |]*\)$/\1=\2/p' "$compose")"
        begins "$place/log-of-compose"
        ;;
    *) fail "docker $*" ;;
    esac
}
volumes() { said '{{range $it, $_ := .OCIv1.Config.Volumes}}{{$it}} {{end}}'; }
# The variables of the image and these, and an empty volume at each place of the image that has one.
with_volumes() {
    variables="$(said '{{range .OCIv1.Config.Env}}{{.}} {{end}}') $1"
    for volume in $(volumes); do
        owner=$(stat -c 'uid=%u,gid=%g,mode=%a' "$tree$volume")
        mount -t tmpfs -o "$owner" tmpfs "$root$volume"
    done
}
sudo() { "$@"; }

# With the lines of the README, from the first one to the doctor in another network.
begin
. "$readme/container.sh" >"$place/made"
prove
say_how_long "container, with the lines of the README" 30
. "$readme/container-status.sh" >"$place/told"
grep -q "^relay ports" "$place/told" || fail "$(cat "$place/told")"
ends

# With those of the recipe for Compose, which gives it a secret in a file.
HOME=$place
. "$readme/compose-secret.sh"
. "$readme/compose-up.sh"
. "$readme/compose-credentials.sh" >"$place/made"
prove
ends
