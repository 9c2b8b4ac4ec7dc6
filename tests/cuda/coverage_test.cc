// Every kernel that there is runs on the model of a block, but for the one of sm_90a; and every
// launch function is called by a test.
#include <filesystem>
#include <iostream>
#include <regex>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "runtime/base/atomic_file.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// The first group of every match in the files of `folder` whose names end so.
std::multiset<std::string> Matches(const fs::path& folder, const std::string& ending,
                                   const std::string& pattern) {
  std::multiset<std::string> found;
  const std::regex regex(pattern);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().string().ends_with(ending)) continue;
    const std::string text = ReadFile(entry.path());
    for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match) {
      found.insert((*match)[1]);
    }
  }
  return found;
}

TEST(Coverage, EveryKernelButTheOneOfHopperRunsOnTheModel) {
  const fs::path folder = SourceFolder() / "runtime/cuda";
  const auto on_model = Matches(folder, "_kernels.cu", R"(W8A8_KERNEL void (\w+)\()");
  const auto elsewhere = Matches(folder, ".cu", R"(__global__[^;{]*?(\w+)\()");
  const auto hopper = Matches(folder, ".cuh", R"((\w+Kernel)\(const __grid_constant__)");
  EXPECT_GT(on_model.size(), 0u);
  EXPECT_TRUE(elsewhere.empty());
  EXPECT_EQ(hopper, std::multiset<std::string>{"WgmmaProductKernel"});
  std::cout << on_model.size() << " kernels on the model, of " << on_model.size() + hopper.size()
            << "\n";
}

TEST(Coverage, EveryLaunchFunctionIsCalledByATest) {
  const auto launches =
      Matches(SourceFolder() / "runtime/cuda", "_kernels.h", R"(void (Launch\w+)\()");
  const auto called = Matches(SourceFolder() / "tests/cuda", ".cc", R"(\b(Launch\w+)\()");
  const auto by_helpers = Matches(SourceFolder() / "tests/cuda", ".h", R"(\b(Launch\w+)\()");
  EXPECT_GT(launches.size(), 0u);
  for (const std::string& launch : launches) {
    EXPECT_TRUE(called.contains(launch) || by_helpers.contains(launch)) << launch;
  }
}

}  // namespace
}  // namespace w8a8::test
