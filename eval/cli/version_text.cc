#include "eval/cli/version_text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "eval/job/version.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cuda/cuda_backend.h"

namespace w8a8 {

namespace {

// What of a set runs products of floats and attention, by the words of --attention.
std::string FloatsText(const FloatKernels& floats) {
  std::string text = fmt::format("float products ({}), attention", floats.half.name);
  for (int i = 0; i < kAttentionPrecisions; ++i) {
    text += fmt::format("{} {} ({})", i == 0 ? "" : ",", NameOf(static_cast<AttentionPrecision>(i)),
                        floats.attention[i]->name);
  }
  return text;
}

nlohmann::ordered_json AttentionJson(const FloatKernels& floats) {
  nlohmann::ordered_json names;
  for (int i = 0; i < kAttentionPrecisions; ++i) {
    names[std::string(NameOf(static_cast<AttentionPrecision>(i)))] = floats.attention[i]->name;
  }
  return names;
}

nlohmann::ordered_json CudaSetsJson() {
  nlohmann::ordered_json sets = nlohmann::ordered_json::array();
  for (const CudaKernelsFacts& facts : CudaKernelSets()) {
    nlohmann::ordered_json set{{"name", facts.name}, {"usable", facts.unusable_reason.empty()}};
    if (!facts.unusable_reason.empty()) set["reason"] = facts.unusable_reason;
    set["products"] = facts.products;
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace

std::string VersionText() {
  std::string lines;
  for (const Kernels& kernels : All()) {
    const char* reason = kernels.unusable_reason();
    lines += fmt::format("kernels    {:<12} {}\n", kernels.name,
                         reason == nullptr ? "usable: " + FloatsText(*kernels.floats)
                                           : std::string("not usable: ") + reason);
  }
  for (const CudaKernelsFacts& set : CudaKernelSets()) {
    lines += fmt::format("kernels    {:<12} {}{}\n", set.name,
                         set.unusable_reason.empty() ? "usable: " : "not usable: ",
                         set.unusable_reason.empty() ? set.products : set.unusable_reason);
  }
  const std::string cuda = CudaUnavailableReason();
  return fmt::format("w8a8-calib {} ({}, {})\n{}cuda       {}\n", ToolVersion(), W8A8_BUILD_TYPE,
                     W8A8_COMPILER, lines, cuda.empty() ? "usable" : "not usable: " + cuda);
}

std::string VersionJson() {
  nlohmann::ordered_json sets = nlohmann::ordered_json::array();
  for (const Kernels& kernels : All()) {
    const char* reason = kernels.unusable_reason();
    nlohmann::ordered_json set{{"name", kernels.name}, {"usable", reason == nullptr}};
    if (reason != nullptr) set["reason"] = reason;
    set["float_products"] = kernels.floats->half.name;
    set["attention"] = AttentionJson(*kernels.floats);
    sets.push_back(std::move(set));
  }
  const std::string cuda = CudaUnavailableReason();
  const nlohmann::ordered_json text{
      {"version", ToolVersion()},
      {"build", {{"type", W8A8_BUILD_TYPE}, {"compiler", W8A8_COMPILER}}},
      {"kernels", sets},
      {"cuda", {{"usable", cuda.empty()}, {"reason", cuda}, {"kernels", CudaSetsJson()}}}};
  return text.dump(2) + "\n";
}

}  // namespace w8a8
