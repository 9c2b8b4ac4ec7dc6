#include "eval/cli/commands/merge.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "eval/cli/usage_error.h"
#include "runtime/base/atomic_file.h"
#include "tests/calib/made_activations.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

TEST(RunMerge, WritesTheStatisticsOfAllImages) {
  const std::filesystem::path folder = test::ScratchFolder("merge_test");
  WriteStats(folder / "a.h5", test::ObserveImages({0, 3}));
  WriteStats(folder / "b.h5", test::ObserveImages({2, 1}));
  WriteStats(folder / "all.h5", test::ObserveImages({0, 1, 2, 3}));
  Options options;
  options.inputs = {folder / "a.h5", folder / "b.h5"};
  options.out = folder / "merged.h5";
  options.quiet = true;
  EXPECT_EQ(RunMerge(options), 0);
  EXPECT_EQ(ReadFile(folder / "merged.h5"), ReadFile(folder / "all.h5"));
}

TEST(RunMerge, OneInputOrNoOutputIsABadCommandLine) {
  Options options;
  options.inputs = {"a.h5"};
  options.out = "out.h5";
  EXPECT_THROW(RunMerge(options), UsageError);
  options.inputs = {"a.h5", "b.h5"};
  options.out = "";
  EXPECT_THROW(RunMerge(options), UsageError);
}

}  // namespace
}  // namespace w8a8
