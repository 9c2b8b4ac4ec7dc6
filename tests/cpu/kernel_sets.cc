#include "tests/cpu/kernel_sets.h"

#include <cmath>
#include <cstdio>
#include <limits>

#include <fmt/format.h>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "tests/cpu/avx512vnni_simde.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

std::vector<SetUnderTest> FindSets() {
  std::vector<SetUnderTest> sets;
  for (const Kernels* kernels : All()) {
    const std::string name(kernels->name);
    if (kernels->supported()) {
      sets.push_back({name, kernels});
      continue;
    }
    if (Required(name)) Fail("W8A8_REQUIRE names {}: {}", name, kernels->unusable_reason());
    std::printf("*** kernel set %s is NOT TESTED on real instructions: %s ***\n", name.c_str(),
                kernels->unusable_reason());
  }
  sets.push_back({"avx512vnni on portable intrinsics", &kAvx512VnniOnSimde});
  for (const SetUnderTest& set : sets)
    std::printf("kernel set under test: %s\n", set.label.c_str());
  return sets;
}

}  // namespace

const std::vector<SetUnderTest>& SetsUnderTest() {
  static const std::vector<SetUnderTest> sets = FindSets();
  return sets;
}

const Kernels& ScalarSet() { return *All().back(); }

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
