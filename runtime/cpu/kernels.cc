#include "runtime/cpu/kernels.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

std::atomic<const Kernels*> g_in_use = nullptr;

std::string UsableNames() {
  std::string names;
  for (const Kernels& kernels : All()) {
    if (!kernels.supported()) continue;
    names += (names.empty() ? "" : ", ") + std::string(kernels.name);
  }
  return names;
}

// `source` begins the messages: where the name came from.
const Kernels& Forced(std::string_view name, const char* source) {
  for (const Kernels& kernels : All()) {
    if (kernels.name != name) continue;
    const char* reason = kernels.unusable_reason();
    if (reason == nullptr) return kernels;
    Fail("{}{}: this machine cannot run that kernel set: {}. Usable here: {}.", source, name,
         reason, UsableNames());
  }
  throw BadSetting(fmt::format("{}{}: no kernel set has that name. Usable here: {}.", source, name,
                               UsableNames()));
}

}  // namespace

const Kernels& Select(std::string_view forced) {
  if (!forced.empty()) return Forced(forced, "");
  const char* variable = std::getenv("W8A8_CPU_ISA");
  if (variable != nullptr && *variable != '\0') return Forced(variable, "W8A8_CPU_ISA=");
  return *std::ranges::find_if(All(), &Kernels::supported);  // `scalar` always is
}

void UseKernels(const Kernels& kernels) {
  UseHalfConversions(&kernels.rows->half);
  UseCountRows(kernels.rows->count_rows);
  g_in_use = &kernels;
}

const Kernels& KernelsInUse() {
  if (g_in_use == nullptr) UseKernels(Select(""));
  return *g_in_use;
}

}  // namespace w8a8
