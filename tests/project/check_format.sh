#!/bin/sh
# check_format.sh ROOT CLANG_FORMAT: every C++ and CUDA source is formatted as .clang-format says.
# Releases of clang-format differ in detail, so only 14 (Debian 12's) is asked.
set -eu
root=$1
clang_format=$2
if ! "$clang_format" --version 2>/dev/null | grep -q 'version 14\.'; then
  case ",${W8A8_REQUIRE:-}," in
    *,clang-format,*) echo "W8A8_REQUIRE names clang-format, but release 14 is missing"; exit 1 ;;
  esac
  echo "*** SKIPPED, clang-format 14 is missing: scripts/setup --tests installs it ***"
  exit 77
fi
cd "$root"
find calib datasets eval quant reports runtime tests -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' |
  sort | xargs "$clang_format" --dry-run -Werror
