#include "runtime/cpu/kernels.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "runtime/base/setting.h"
#include "runtime/cpu/kernels_scalar.h"

namespace w8a8 {

#if defined(__x86_64__)
extern const Kernels kAvx512VnniKernels;  // kernels_avx512vnni.cc
#endif

namespace {

constexpr Kernels kScalarKernels = {
    .name = "scalar",
    .unusable_reason = [] { return static_cast<const char*>(nullptr); },
    .code_bytes = scalar::kCodeBytes,
    .k_multiple = scalar::kKMultiple,
    .n_multiple = scalar::kNMultiple,
    .quantize_rows = scalar::QuantizeRows,
    .unpack_codes = scalar::UnpackCodes,
    .packed_bytes = scalar::PackedBytes,
    .pack_weights = scalar::PackWeights,
    .gemm_s8 = scalar::GemmS8,
    .layer_norm_rows = scalar::LayerNormRows,
    .rms_norm_rows = scalar::RmsNormRows,
    .layer_norm_float_rows = scalar::LayerNormFloatRows,
    .rms_norm_float_rows = scalar::RmsNormFloatRows,
    .gelu_erf_rows = scalar::GeluErfRows,
    .gelu_tanh_rows = scalar::GeluTanhRows,
    .quick_gelu_rows = scalar::QuickGeluRows,
    .silu_rows = scalar::SiluRows,
    .add_residual = scalar::AddResidual,
    .add_float_residual = scalar::AddFloatResidual,
    .to_float = scalar::FloatFromHalf,
    .to_half = scalar::HalfFromFloat,
};

constexpr std::array kAll = {
#if defined(__x86_64__)
    &kAvx512VnniKernels,
#endif
    &kScalarKernels,
};

// Named by the command line, built by a later version.
constexpr std::array<std::string_view, 2> kPlanned = {"avx2", "amx"};

std::string UsableNames() {
  std::string names;
  for (const Kernels* kernels : All()) {
    if (!kernels->supported()) continue;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  return names;
}

// `source` begins the messages: where the name came from.
const Kernels& Forced(std::string_view name, const char* source) {
  for (const Kernels* kernels : All()) {
    if (kernels->name != name) continue;
    const char* reason = kernels->unusable_reason();
    if (reason == nullptr) return *kernels;
    Fail("{}{}: this machine cannot run that kernel set: {}. Usable here: {}.", source, name,
         reason, UsableNames());
  }
  if (std::ranges::find(kPlanned, name) != kPlanned.end()) {
    throw BadSetting(fmt::format("{}{}: that kernel set comes later. Usable here: {}.", source,
                                 name, UsableNames()));
  }
  throw BadSetting(fmt::format("{}{}: no kernel set has that name. Usable here: {}.", source, name,
                               UsableNames()));
}

}  // namespace

std::span<const Kernels* const> All() { return kAll; }

const Kernels& Select(std::string_view forced) {
  if (!forced.empty()) return Forced(forced, "");
  const char* variable = std::getenv("W8A8_CPU_ISA");
  if (variable != nullptr && *variable != '\0') return Forced(variable, "W8A8_CPU_ISA=");
  for (const Kernels* kernels : All()) {
    if (kernels->supported()) return *kernels;
  }
  W8A8_CHECK(!"the scalar set is always usable");
  return kScalarKernels;
}

}  // namespace w8a8
