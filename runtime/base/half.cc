#include "runtime/base/half.h"

#include <atomic>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

void PlainToFloat(const Half* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToFloat(from[i]);
}

void PlainToHalf(const float* from, Half* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToHalf(from[i]);
}

constexpr HalfConversions kPlainLoops = {.to_float = PlainToFloat, .to_half = PlainToHalf};

std::atomic<const HalfConversions*> g_conversions = &kPlainLoops;

}  // namespace

const HalfConversions* UseHalfConversions(const HalfConversions* conversions) {
  return g_conversions.exchange(conversions);
}

void ToFloat(std::span<const Half> from, std::span<float> to) {
  W8A8_CHECK(from.size() == to.size());
  g_conversions.load()->to_float(from.data(), to.data(), static_cast<int64_t>(from.size()));
}

void ToHalf(std::span<const float> from, std::span<Half> to) {
  W8A8_CHECK(from.size() == to.size());
  g_conversions.load()->to_half(from.data(), to.data(), static_cast<int64_t>(from.size()));
}

}  // namespace w8a8
