#!/bin/sh
# check_isa_symbols.sh NM ARCHIVE: no source compiled for one instruction set emits a weak symbol.
# The linker keeps one copy of a weak symbol (an inline function, a template), and if that is the
# AVX-512 one, the program dies on every older CPU.
set -eu
nm=$1
archive=$2
weak=$("$nm" -C "$archive" | awk '
  /^kernels_(avx|amx).*\.o:$/ { member = $1; members++; next }
  /\.o:$/ { member = ""; next }
  member != "" && / [WVu] / { print member, $0 }
  END { print members + 0, "sources for one instruction set" }')
echo "$weak"
test "$(echo "$weak" | wc -l)" -eq 1 && test "${weak%% *}" -gt 0
