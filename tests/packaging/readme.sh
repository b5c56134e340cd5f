# Read by the scripts that install the server and prove that it works: with the command lines of the README, which
# packages.rs has written to $readme/*.sh, and not with lines of their own. $place is a directory, $far another network,
# $here the binary for it.

# Names this host, here and in the other network, as the README does.
name_this_host() {
    printf '127.0.0.1 localhost\n198.41.0.10 turn.example.org\n' >"$place/hosts"
    mount --bind "$place/hosts" /etc/hosts
}
# What `hairpin credentials` has printed to $place/made.
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$place/made"; }
# Examines the server from the other network, with this credential in place of the README's example.
prove() {
    mkdir -p "$place/reader"
    ln -sf "$here" "$place/reader/hairpin"
    sed -e "s|echo '[^']*' *>|echo '$(field credential)' >|" -e "s|--user [^ ]*|--user $(field username)|" \
        "$readme/doctor.sh" >"$place/reader/doctor.sh"
    grep -q "$(field username)" "$place/reader/doctor.sh" || fail "$(cat "$readme/doctor.sh")"
    (cd "$place/reader" && PATH="$PWD:$PATH" nsenter --target "$far" --net sh -e doctor.sh) >"$place/doctor" ||
        fail "it does not work: $(cat "$place/doctor")"
    grep -q work "$place/doctor" || fail "$(cat "$place/doctor")"
    head -n 4 "$place/doctor"
}
