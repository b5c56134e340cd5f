# Read by the scripts beside it: the link to other networks, waiting, failing. They have $place, a directory for what was
# told.

fail() {
    # A part of the script may have its output kept in a file.
    {
        echo "FAILED: $*"
        cat "$place"/log* "$place"/doctor 2>/dev/null
    } >&2
    exit 1
}
until_true() { # waits at most twenty seconds
    for _ in $(seq 200); do
        ! "$@" >"$place/told" 2>&1 || return 0
        sleep 0.1
    done
    fail "not so within twenty seconds: $* ($(cat "$place/told"))"
}
# A public address, and everything else behind the link's other end: in the network of the process $1, if one is named.
link_to_the_internet() {
    ip link set lo up
    ip link add near type veth peer name far ${1:+netns "$1"}
    ip address add 198.41.0.10/24 dev near
    ip link set near up
    ${1:+nsenter --target "$1" --net} ip link set far up
    ip route add default via 198.41.0.20
}
# The same, and another network behind it: that of the process $far.
another_network() {
    unshare --net sleep infinity &
    far=$!
    until_true sh -c "test \$(readlink /proc/$far/ns/net) != \$(readlink /proc/self/ns/net)"
    link_to_the_internet "$far"
    nsenter --target "$far" --net sh -c 'ip link set lo up && ip address add 198.41.0.20/24 dev far'
}
begin() { begun=$(date +%s.%N); }
# Fails if it took longer than $2 seconds, which are for a machine that is busy with other tests.
say_how_long() {
    took=$(date +%s.%N | awk -v begun="$begun" '{ printf "%.1f", $1 - begun }')
    echo "$1: calls work $took s after the start"
    test "${took%.*}" -lt "$2" || fail "it took longer than $2 s"
}
