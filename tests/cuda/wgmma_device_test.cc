// The sm_90a INT8 product on a GPU, every instance, in every bit; skipped where no GPU runs it.
#include <cuda_runtime_api.h>

#include <array>

#include <gtest/gtest.h>

#include "runtime/cuda/cuda_device_facts.h"
#include "runtime/cuda/cuda_error.h"
#include "tests/cuda/wgmma_case.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

using test::Compare;
using test::MakeCase;
using test::WgmmaCase;

std::string MissingDevice() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) return cudaGetErrorString(status);
  return devices == 0 ? "no CUDA device" : "";
}

// The device's copy of a vector, of exactly its size, so that compute-sanitizer sees every step
// beyond it.
template <class T>
class Copied {
 public:
  explicit Copied(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    CheckCuda(cudaMalloc(&memory_, bytes_), "allocating");
    CheckCuda(cudaMemcpy(memory_, values.data(), bytes_, cudaMemcpyHostToDevice), "copying");
  }
  ~Copied() { cudaFree(memory_); }
  Copied(const Copied&) = delete;
  Copied& operator=(const Copied&) = delete;
  T* data() const { return static_cast<T*>(memory_); }
  void Download(std::vector<T>& values) const {
    CheckCuda(cudaMemcpy(values.data(), memory_, bytes_, cudaMemcpyDeviceToHost), "copying back");
  }

 private:
  size_t bytes_;
  void* memory_ = nullptr;
};

// What the kernel makes of the case, in memory that held the case's output before. With `in_place`
// the stream is the output.
std::vector<uint8_t> RunOnGpu(const WgmmaCase& given, WgmmaTiles tiles, bool in_place) {
  const Copied x(given.x), w(given.w);
  const Copied scale_x(given.scale_x), scale_w(given.scale_w), bias(given.bias);
  const Copied layer_scale(given.layer_scale);
  const Copied residual(given.residual);
  const Copied out(given.out);
  WgmmaProduct product = given.product;
  product.x = x.data();
  product.w = w.data();
  product.outputs.scale_x = scale_x.data();
  product.outputs.scale_w = scale_w.data();
  product.outputs.bias = bias.data();
  product.outputs.layer_scale = layer_scale.data();
  product.outputs.residual =
      in_place ? reinterpret_cast<const uint16_t*>(out.data()) : residual.data();
  product.outputs.out = out.data();
  EXPECT_EQ(WgmmaRefuses(product), "");
  LaunchWgmmaProduct(nullptr, product, tiles);
  CheckCuda(cudaDeviceSynchronize(), "running the sm_90a product");
  std::vector<uint8_t> actual(given.out.size());
  out.Download(actual);
  return actual;
}

class WgmmaOnGpu : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const std::string missing = MissingDevice();
    if (!missing.empty()) W8A8_SKIP_OR_FAIL("cuda", missing);
    const std::string reason = WgmmaUnavailable(0);
    if (reason.empty()) return;
    // Another GPU than Hopper is not a missing one: its set is another.
    const bool hopper = TooOldFor(0, 9, 0).empty() && !TooOldFor(0, 9, 1).empty();
    if (hopper) W8A8_SKIP_OR_FAIL("cuda", reason);
    GTEST_SKIP() << "*** SKIPPED: " << reason << " ***";
  }
  WgmmaTiles Tiles() const { return static_cast<WgmmaTiles>(GetParam()); }
};

// Each product several times: a race need not show at once.
constexpr int kRepeats = 3;

TEST_P(WgmmaOnGpu, IsTheFormulaInEveryBit) {
  const std::array<int32_t, 3> shapes[] = {{1, 81, 1},        {65, 80, 588},    {130, 300, 127},
                                           {729, 1152, 588},  {1025, 1001, 96}, {8200, 640, 200},
                                           {257, 4304, 1152}, {300, 384, 4304}};
  for (const auto& [m, n, k] : shapes) {
    std::vector<int32_t> sums;  // the same codes for every epilogue
    for (const int epilogue : {0, 1, 2}) {
      const auto kind = static_cast<WgmmaEpilogue>(epilogue);
      const WgmmaCase given = MakeCase(kind, ActivationKind::kGeluTanh, m, n, k);
      if (sums.empty()) sums = test::PlainSums(given.product);
      const std::vector<uint8_t> expected = test::PlainOutput(given, sums);
      for (int i = 0; i < kRepeats; ++i) {
        ASSERT_EQ(Compare(kind, expected, RunOnGpu(given, Tiles(), false)), "")
            << "epilogue " << epilogue << ": " << m << " x " << n << " x " << k << ", run " << i;
      }
    }
  }
}

TEST_P(WgmmaOnGpu, TakesAStreamInPlace) {
  WgmmaCase given = MakeCase(WgmmaEpilogue::kResidual, ActivationKind::kGeluTanh, 729, 1152, 300);
  std::memcpy(given.out.data(), given.residual.data(), given.out.size());
  const std::vector<uint8_t> expected = test::PlainOutput(given);
  for (int i = 0; i < kRepeats; ++i) {
    EXPECT_EQ(Compare(given.product.epilogue, expected, RunOnGpu(given, Tiles(), true)), "");
  }
}

TEST_P(WgmmaOnGpu, CodesEveryActivation) {
  for (const ActivationKind kind : {ActivationKind::kGeluErf, ActivationKind::kQuickGelu,
                                    ActivationKind::kSilu, ActivationKind::kGeluTanh}) {
    const WgmmaCase given = MakeCase(WgmmaEpilogue::kCodes, kind, 300, 200, 96);
    EXPECT_EQ(
        Compare(given.product.epilogue, test::PlainOutput(given), RunOnGpu(given, Tiles(), false)),
        "")
        << static_cast<int>(kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, WgmmaOnGpu, testing::Range(0, kWgmmaTileKinds));

}  // namespace
}  // namespace w8a8
