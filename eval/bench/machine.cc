#include "eval/bench/machine.h"

#include <cstdlib>
#include <fstream>

#include "eval/bench/onednn_baseline.h"
#include "runtime/base/parallel.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {
namespace {

std::string CpuName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

MachineFacts ThisMachine() {
  MachineFacts facts{.cpu = CpuName(),
                     .cpus = AvailableCpus(),
                     .kernels = {},
                     .onednn = OneDnnVersion(),
                     .onednn_zen = {},
                     .compiler = W8A8_COMPILER};
  for (const Kernels& set : All()) {
    if (set.supported()) facts.kernels.emplace_back(set.name);
  }
  if (const char* zen = std::getenv("ONEDNN_X64_USE_ZEN")) facts.onednn_zen = zen;
  return facts;
}

}  // namespace w8a8
