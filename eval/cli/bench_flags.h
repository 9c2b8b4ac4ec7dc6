// The flags of bench.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace w8a8 {

struct Options;

struct BenchFlags {
  bool kernels_only = false;
  bool forward = false;
  bool full = false;
  bool small = false;
  std::string encoder;    // empty: all made ones
  std::string json_file;  // --json; empty: tables only
};

void AddBenchFlags(CLI::App& app, Options& o);

}  // namespace w8a8
