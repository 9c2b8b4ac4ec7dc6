#include "tests/cpu/kernel_sets.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include <fmt/core.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/cpu/kernels_on_simde.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

bool OneIsForced() {
  const char* forced = std::getenv("W8A8_CPU_ISA");
  return forced != nullptr && *forced != '\0';
}

std::vector<Kernels> FindSets() {
  std::vector<Kernels> sets;
  for (const Kernels& kernels : All()) {
    if (kernels.supported()) {
      sets.push_back(kernels);
      continue;
    }
    const char* reason = kernels.unusable_reason();
    if (Required(std::string(kernels.name))) {
      Fail("W8A8_REQUIRE names {}: {}", kernels.name, reason);
    }
    fmt::print("*** kernel set {} is NOT TESTED on real instructions: {} ***\n", kernels.name,
               reason);
  }
  if (OneIsForced()) {
    sets = {Select("")};
    fmt::print("*** W8A8_CPU_ISA: kernel set {} only ***\n", sets.front().name);
  }
  for (const Kernels& set : sets) fmt::print("kernel set under test: {}\n", set.name);
  return sets;
}

std::vector<Kernels> WithPortableCopies(std::vector<Kernels> sets) {
  if (OneIsForced()) return sets;
  const auto usable = [] { return static_cast<const char*>(nullptr); };
  static FloatKernels fp16 = kAvx512FloatKernelsOnSimde, bf16 = kAvx512FloatKernelsOnSimde;
  fp16.half = kAmxFp16ProductOnSimde;
  fp16.attention[0] = &kAmxFp16AttentionOnSimde;
  bf16.half = kAmxBf16ProductOnSimde;
  bf16.attention[0] = &kAmxSplitAttentionOnSimde;
  fp16.attention[1] = bf16.attention[1] = &kAmxBf16AttentionOnSimde;
  sets.push_back({"amx on portable intrinsics", usable, &kAmxInt8KernelsOnSimde,
                  &kAvx512RowKernelsOnSimde, &fp16});
  sets.push_back({"amx without FP16 on portable intrinsics", usable, &kAmxInt8KernelsOnSimde,
                  &kAvx512RowKernelsOnSimde, &bf16});
  sets.push_back({"avx512vnni on portable intrinsics", usable, &kAvx512VnniInt8KernelsOnSimde,
                  &kAvx512RowKernelsOnSimde, &kAvx512FloatKernelsOnSimde});
  static FloatKernels pairs = kAvx512FloatKernelsOnSimde;
  pairs.attention[1] = &kAvx512Bf16AttentionOnSimde;
  sets.push_back({"avx512vnni with AVX512-BF16 on portable intrinsics", usable,
                  &kAvx512VnniInt8KernelsOnSimde, &kAvx512RowKernelsOnSimde, &pairs});
  static FloatKernels avxvnni = kAvx2FloatKernelsOnSimde;
  avxvnni.attention[2] = &kAvxVnniInt8AttentionOnSimde;
  sets.push_back({"avxvnni on portable intrinsics", usable, &kAvxVnniInt8KernelsOnSimde,
                  &kAvx2RowKernelsOnSimde, &avxvnni});
  sets.push_back({"avx2 on portable intrinsics", usable, &kAvx2Int8KernelsOnSimde,
                  &kAvx2RowKernelsOnSimde, &kAvx2FloatKernelsOnSimde});
  return sets;
}

}  // namespace

const std::vector<Kernels>& SetsOfThisMachine() {
  static const std::vector<Kernels> sets = FindSets();
  return sets;
}

const std::vector<Kernels>& SetsUnderTest() {
  static const std::vector<Kernels> sets = WithPortableCopies(SetsOfThisMachine());
  return sets;
}

const Kernels& ScalarSet() { return All().back(); }

const std::vector<LayerShape>& LayerShapes() {
  static const std::vector<LayerShape> shapes = {
      {1, 1, 1},      {2, 15, 2},    {3, 16, 3},   {5, 17, 4},    {11, 31, 5},
      {12, 32, 63},   {13, 33, 64},  {23, 48, 65}, {24, 64, 127}, {25, 65, 192},
      {17, 100, 588}, {2, 33, 4304}, {40, 7, 33}};
  return shapes;
}

std::string Text(const LayerShape& shape) {
  return fmt::format("M {} N {} K {}", shape.m, shape.n, shape.k);
}

QuantizedLinear RandomLinear(const LayerShape& shape, uint64_t seed) {
  std::vector<int8_t> codes(static_cast<size_t>(shape.n * shape.k));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(CounterHash(seed, i));
  codes.front() = -128;
  codes.back() = 127;
  std::vector<float> scale, bias;
  for (int64_t i = 0; i < shape.n; ++i) {
    const auto counter = static_cast<uint64_t>(i);
    scale.push_back(std::exp2(-6.5f + 3.5f * HashUniform(seed + 1, counter)));
    bias.push_back(HashUniform(seed + 2, counter));
  }
  return QuantizedLinear::FromCodes("test", shape.n, shape.k, std::move(codes), std::move(scale),
                                    std::move(bias));
}

std::vector<Half> RandomHalves(int64_t count, uint64_t seed, Values values) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {std::nanf(""), kInfinity, -kInfinity, kMaxHalf};
  std::vector<Half> halves;
  for (uint64_t i = 0; i < static_cast<uint64_t>(count); ++i) {
    float value = 2.0f * HashUniform(seed, i);
    const uint64_t choice = CounterHash(seed + 1, i) % 64;
    if (choice == 0) value *= 100.0f;
    if (choice == 1) value *= 0x1p-22f;  // subnormal in FP16
    if (choice == 2) value = 0.0f;
    if (choice == 3 && values == Values::kAny) value = special[CounterHash(seed + 2, i) % 4];
    halves.push_back(ToHalf(value));
  }
  return halves;
}

}  // namespace w8a8::test
