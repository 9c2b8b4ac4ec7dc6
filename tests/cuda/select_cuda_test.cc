// Which kernel set a CUDA device gets, and what is refused, with a list of sets in the place of
// the real one.
#include <array>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "runtime/base/setting.h"
#include "runtime/cuda/cuda_kernels.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

// Device 0 runs the last two of the sets, device 1 none.
constexpr int kDevice = 0, kOtherDevice = 1;

std::string Anything(std::string_view) { return "products"; }
std::unique_ptr<CudaProducts> MakeNone(int) { return nullptr; }
std::string NewReason(int device) { return "device " + std::to_string(device) + " is too old"; }
std::string UsualReason(int device) { return device == kDevice ? "" : NewReason(device); }

const std::array kSets = {CudaKernels{"new", Anything, NewReason, MakeNone},
                          CudaKernels{"usual", Anything, UsualReason, MakeNone},
                          CudaKernels{"any", Anything, UsualReason, MakeNone}};

}  // namespace

std::span<const CudaKernels> AllCudaKernels() { return kSets; }

namespace test {
namespace {

// Sets W8A8_CUDA_KERNELS for one test.
class SelectCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* variable = std::getenv("W8A8_CUDA_KERNELS")) before_ = variable;
    unsetenv("W8A8_CUDA_KERNELS");
  }
  void TearDown() override { setenv("W8A8_CUDA_KERNELS", before_.c_str(), 1); }
  static void SetVariable(const char* value) { setenv("W8A8_CUDA_KERNELS", value, 1); }

 private:
  std::string before_;
};

TEST_F(SelectCuda, TakesTheBestUsableSet) {
  EXPECT_EQ(SelectCudaKernels("", kDevice).name, "usual");
  SetVariable("");
  EXPECT_EQ(SelectCudaKernels("", kDevice).name, "usual");
}

TEST_F(SelectCuda, TheFlagWinsOverTheVariable) {
  SetVariable("any");
  EXPECT_EQ(SelectCudaKernels("", kDevice).name, "any");
  EXPECT_EQ(SelectCudaKernels("usual", kDevice).name, "usual");
  SetVariable("no-such-set");
  EXPECT_EQ(SelectCudaKernels("any", kDevice).name, "any");
}

TEST_F(SelectCuda, AForcedSetIsNeverReplacedAndTheReasonIsTheDevices) {
  EXPECT_EQ(ErrorOf([] { SelectCudaKernels("new", kDevice); }),
            "new: cuda:0 cannot run that kernel set: device 0 is too old. Usable here: usual, "
            "any.");
  SetVariable("any");
  EXPECT_EQ(ErrorOf([] { SelectCudaKernels("", kOtherDevice); }),
            "W8A8_CUDA_KERNELS=any: cuda:1 cannot run that kernel set: device 1 is too old. Usable "
            "here: none.");
}

TEST_F(SelectCuda, AnUnknownNameIsABadSettingThatSaysWhereItCameFrom) {
  EXPECT_THROW(SelectCudaKernels("wgma", kDevice), BadSetting);
  EXPECT_EQ(ErrorOf([] { SelectCudaKernels("wgma", kDevice); }),
            "wgma: no kernel set of CUDA devices has that name. Usable here: usual, any.");
  SetVariable("scalar");
  EXPECT_THROW(SelectCudaKernels("", kDevice), BadSetting);
  EXPECT_EQ(ErrorOf([] { SelectCudaKernels("", kDevice); }),
            "W8A8_CUDA_KERNELS=scalar: no kernel set of CUDA devices has that name. Usable here: "
            "usual, any.");
}

TEST_F(SelectCuda, ADeviceThatRunsNoSetIsAnErrorWithTheReason) {
  EXPECT_EQ(ErrorOf([] { SelectCudaKernels("", kOtherDevice); }),
            "cuda:1: no kernel set can run there: device 1 is too old");
}

TEST(ProductsText, NamesCublasLtOnlyWhereItCanBeUsed) {
  EXPECT_EQ(ProductsText("INT8 by wgmma", ""), "INT8 by wgmma, FP16 by cuBLASLt");
  EXPECT_EQ(ProductsText("INT8 by wgmma", "libcublasLt.so.13 is missing"),
            "INT8 by wgmma, FP16 by mma.sync (no cuBLASLt: libcublasLt.so.13 is missing)");
}

}  // namespace
}  // namespace test
}  // namespace w8a8
