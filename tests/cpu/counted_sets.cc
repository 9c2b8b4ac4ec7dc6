// Linked in place of runtime/cpu/kernel_list.cc: the same sets, whose functions count their calls.
// Where W8A8_CPU_ISA forces a set, the process fails at its end unless that set ran and no other
// did, and is skipped (exit 77, loudly) where this machine cannot run it.
#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "runtime/cpu/kernels.h"
#include "tests/support/environment.h"

#define All BuiltSets  // the program's own list
#include "runtime/cpu/kernel_list.cc"
#undef All

namespace w8a8 {
namespace {

constexpr size_t kSets = kAll.size();

template <size_t kSet>
struct Counted {
  static inline Int8Kernels int8;
  static inline RowKernels rows;
  static inline std::atomic<int64_t> int8_calls = 0;
  static inline std::atomic<int64_t> row_calls = 0;

  // The function at `kMember` of the set's own table, counted.
  template <auto kMember, class... Args>
  static auto CallInt8(Args... args) {
    ++int8_calls;
    return (kAll[kSet].int8->*kMember)(args...);
  }
  template <auto kMember, class... Args>
  static void CallRows(Args... args) {
    ++row_calls;
    (kAll[kSet].rows->*kMember)(args...);
  }
  template <auto kMember, class... Args>
  static void CallHalf(Args... args) {
    ++row_calls;
    (kAll[kSet].rows->half.*kMember)(args...);
  }

  static Kernels Table() {
    int8 = *kAll[kSet].int8;
    int8.quantize_rows = CallInt8<&Int8Kernels::quantize_rows>;
    int8.transform_row = CallInt8<&Int8Kernels::transform_row>;
    int8.finite_range = CallInt8<&Int8Kernels::finite_range>;
    int8.encode = CallInt8<&Int8Kernels::encode>;
    int8.unpack_codes = CallInt8<&Int8Kernels::unpack_codes>;
    int8.packed_bytes = CallInt8<&Int8Kernels::packed_bytes>;
    int8.pack_weights = CallInt8<&Int8Kernels::pack_weights>;
    int8.gemm_s8 = CallInt8<&Int8Kernels::gemm_s8>;
    int8.gemm_groups = CallInt8<&Int8Kernels::gemm_groups>;
    int8.gemm_w8 = CallInt8<&Int8Kernels::gemm_w8>;
    int8.quantize_outputs = CallInt8<&Int8Kernels::quantize_outputs>;
    rows = {.layer_norm = CallRows<&RowKernels::layer_norm>,
            .rms_norm = CallRows<&RowKernels::rms_norm>,
            .layer_norm_float = CallRows<&RowKernels::layer_norm_float>,
            .rms_norm_float = CallRows<&RowKernels::rms_norm_float>,
            .gelu_erf = CallRows<&RowKernels::gelu_erf>,
            .gelu_tanh = CallRows<&RowKernels::gelu_tanh>,
            .quick_gelu = CallRows<&RowKernels::quick_gelu>,
            .silu = CallRows<&RowKernels::silu>,
            .multiply = CallRows<&RowKernels::multiply>,
            .add_residual = CallRows<&RowKernels::add_residual>,
            .add_float_residual = CallRows<&RowKernels::add_float_residual>,
            .row_products = CallRows<&RowKernels::row_products>,
            .softmax_row = CallRows<&RowKernels::softmax_row>,
            .add_error_sums = CallRows<&RowKernels::add_error_sums>,
            .count_rows = CallRows<&RowKernels::count_rows>,
            .half = {.to_float = CallHalf<&HalfConversions::to_float>,
                     .to_half = CallHalf<&HalfConversions::to_half>}};
    return {kAll[kSet].name, kAll[kSet].unusable_reason, &int8, &rows, kAll[kSet].floats};
  }
  static std::pair<int64_t, int64_t> Calls() { return {int8_calls, row_calls}; }
};

template <size_t... kSet>
std::array<Kernels, kSets> TablesOf(std::index_sequence<kSet...>) {
  return {Counted<kSet>::Table()...};
}
template <size_t... kSet>
std::array<std::pair<int64_t, int64_t>, kSets> CallsOf(std::index_sequence<kSet...>) {
  return {Counted<kSet>::Calls()...};
}

// The forced set's name, or "". Ends the process, loudly, where this machine cannot run the set.
std::string ForcedSet() {
  const char* forced = std::getenv("W8A8_CPU_ISA");
  if (forced == nullptr) return "";
  for (const Kernels& set : BuiltSets()) {
    if (set.name != forced || set.supported()) continue;
    const bool required = test::Required(forced);
    fmt::print("*** {}, {} is missing: {} ***\n", required ? "W8A8_REQUIRE names it" : "SKIPPED",
               forced, set.unusable_reason());
    std::fflush(stdout);
    std::_Exit(required ? 1 : 77);
  }
  return forced;
}

class OnlyTheForcedSetRuns : public testing::Environment {
 public:
  void TearDown() override {
    if (forced_.empty()) return;
    const auto calls = CallsOf(std::make_index_sequence<kSets>());
    for (size_t i = 0; i < kSets; ++i) {
      const auto [int8, rows] = calls[i];
      fmt::print("{}: {} calls of INT8 kernels, {} of row kernels\n", kAll[i].name, int8, rows);
      EXPECT_EQ(int8 > 0, kAll[i].name == forced_) << kAll[i].name << " under " << forced_;
      EXPECT_EQ(rows > 0, kAll[i].name == forced_) << kAll[i].name << " under " << forced_;
    }
  }

 private:
  // Before main(): parameters of tests ask for the sets of this machine.
  const std::string forced_ = ForcedSet();
};

[[maybe_unused]] const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new OnlyTheForcedSetRuns);

}  // namespace

std::span<const Kernels> All() {
  static const std::array<Kernels, kSets> sets = TablesOf(std::make_index_sequence<kSets>());
  return sets;
}

}  // namespace w8a8
