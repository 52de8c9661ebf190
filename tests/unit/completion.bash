#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The generated completion, asked as the shell asks it: completion.bash FILE
set -u
# shellcheck disable=SC2317 # the completion calls it
compopt() { :; }
# shellcheck source=/dev/null
source "$1"
failed=0

# expect WORD... -- CANDIDATE: after these words (the last one unfinished) the candidate is offered.
expect() {
    COMP_WORDS=()
    while [ "$1" != -- ]; do
        COMP_WORDS+=("$1")
        shift
    done
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _bulkhead
    case " ${COMPREPLY[*]} " in
    *" $2 "*) ;;
    *)
        echo "after '${COMP_WORDS[*]}' there is no '$2' but: ${COMPREPLY[*]}"
        failed=1
        ;;
    esac
}

expect bulkhead u -- up
expect bulkhead up --det -- --detach
expect bulkhead up --eng -- --engine=
expect bulkhead device bl -- blk
expect bulkhead device blk --blk -- --blk-file=
expect bulkhead device blk --cache = wr -- writeback
expect bulkhead st -- stat
expect bulkhead blk res -- resize
expect bulkhead blk resize linux-a.disk --sh -- --shrink
expect bulkhead stat --wa -- --watch
expect bulkhead bench blk-m -- blk-mixed
expect bulkhead bench rng --dep -- --depth=
expect bulkhead conform --host -- --host-path=
expect bulkhead conform --class = vs -- vsock
expect bulkhead-net --soc -- --socket-path=
expect bulkhead-blk --cache = -- writeback
expect bulkhead-switch --po -- --port=
expect bulkhead-switch --con -- --control=
folder=$(mktemp -d)
touch "$folder/described.dts" "$folder/planned.json"
for verb in check plan up; do
    expect bulkhead $verb "$folder/d" -- "$folder/described.dts"
    expect bulkhead $verb "$folder/p" -- "$folder/planned.json"
done
rm -r "$folder"
# What bulkhead has no program of is not offered.
case " $(_bulkhead_words classes) " in
*" fs "*)
    echo "'bulkhead device' offers fs, which it has no program for"
    failed=1
    ;;
esac
exit $failed
