// Which device and kernel set a run gets, and what is said where it cannot have them.
#include <gtest/gtest.h>

#include "eval/cli/settings.h"
#include "eval/cli/usage_error.h"
#include "runtime/cuda/cuda_backend.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

Options On(const std::string& device, const std::string& kernels) {
  Options options;
  options.device = device;
  options.kernels = kernels;
  return options;
}

TEST(Selection, TakesTheDeviceThatIsNamed) {
  EXPECT_FALSE(DeviceOf(On("cpu", "")).cuda_device);
  EXPECT_EQ(DeviceOf(On("cuda", "")).cuda_device, 0);
  EXPECT_EQ(DeviceOf(On("cuda:3", "")).cuda_device, 3);
}

TEST(Selection, SaysWhyADeviceCannotBeUsedAndWhatCan) {
  const std::string reason = CudaUnavailableReason();
  if (reason.empty()) GTEST_SKIP() << "*** SKIPPED: this machine has a CUDA device ***";
  const std::string error = ErrorOf([] { OpenCudaDevice(0, ""); });
  EXPECT_TRUE(Contains(error, "cuda:0: " + reason + ". Use the CPU.")) << error;
}

TEST(Selection, RefusesASetOfTheOtherKindOfDevice) {
  EXPECT_TRUE(Contains(ErrorOf([] { DeviceOf(On("cuda", "scalar")); }),
                       "--kernels scalar: a set of CPUs, but --device cuda runs on a CUDA device"));
  if (CudaKernelSets().empty()) GTEST_SKIP() << "*** SKIPPED: built without CUDA ***";
  EXPECT_TRUE(Contains(ErrorOf([] { DeviceOf(On("cpu", "mma")); }),
                       "--kernels mma: a set of CUDA devices, but --device cpu runs on the CPU"));
  EXPECT_EQ(DeviceOf(On("cuda", "mma")).kernels, "mma");
}

TEST(Selection, NamesTheSetsOfTheDeviceThatIsAskedFor) {
  const std::string of_cpu = ErrorOf([] { DeviceOf(On("cpu", "wgma")); });
  EXPECT_TRUE(Contains(of_cpu, "--kernels wgma: no kernel set has that name")) << of_cpu;
  EXPECT_TRUE(Contains(of_cpu, "scalar")) << of_cpu;
  if (CudaKernelSets().empty()) {  // the device is what is wrong then
    EXPECT_EQ(DeviceOf(On("cuda", "wgmma")).kernels, "wgmma");
    return;
  }
  EXPECT_EQ(ErrorOf([] { DeviceOf(On("cuda", "wgma")); }),
            "--kernels wgma: no kernel set of CUDA devices has that name; they are wgmma, "
            "cublaslt, mma.");
}

TEST(Selection, SaysWhatMakesFp16ProductsWithAndWithoutTheLibrary) {
  for (const CudaKernelsFacts& set : CudaKernelSets()) {
    if (set.name != "wgmma") continue;
    const bool library = Contains(set.products, ", FP16 by cuBLASLt");
    EXPECT_NE(library, Contains(set.products, ", FP16 by mma.sync (no cuBLASLt: ")) << set.products;
  }
}

TEST(Selection, ListsTheSetsOfCudaDevicesTheBestFirst) {
  if (CudaKernelSets().empty()) GTEST_SKIP() << "*** SKIPPED: built without CUDA ***";
  std::vector<std::string> names;
  for (const CudaKernelsFacts& set : CudaKernelSets()) names.push_back(set.name);
  EXPECT_EQ(names, (std::vector<std::string>{"wgmma", "cublaslt", "mma"}));
}

}  // namespace
}  // namespace w8a8::test
