// Which kernel set runs, and what is refused.
#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/setting.h"
#include "runtime/cpu/kernels.h"
#include "tests/cpu/kernel_sets.h"

namespace w8a8 {
namespace {

using ::testing::HasSubstr;

// Sets W8A8_CPU_ISA for one test.
class SelectKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* variable = std::getenv("W8A8_CPU_ISA")) before_ = variable;
    unsetenv("W8A8_CPU_ISA");
  }
  void TearDown() override { setenv("W8A8_CPU_ISA", before_.c_str(), 1); }

 private:
  std::string before_;
};

TEST(All, ListsScalarLastAndEveryNameOnce) {
  EXPECT_EQ(All().back().name, "scalar");
  EXPECT_TRUE(All().back().supported());
  for (const Kernels& kernels : All()) {
    EXPECT_EQ(std::ranges::count(All(), kernels.name, &Kernels::name), 1) << kernels.name;
  }
}

TEST_F(SelectKernels, TakesTheBestUsableSet) {
  EXPECT_EQ(&Select(""), &*std::ranges::find_if(All(), &Kernels::supported));
}

TEST_F(SelectKernels, AForcedSetIsNeverReplaced) {
  for (const Kernels& kernels : All()) {
    if (kernels.supported()) {
      EXPECT_EQ(&Select(kernels.name), &kernels);
      continue;
    }
    try {
      Select(kernels.name);
      FAIL() << kernels.name << " was replaced";
    } catch (const BadSetting&) {
      FAIL() << "a known set is exit 1, not 2";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(kernels.unusable_reason()));
    }
  }
}

TEST_F(SelectKernels, TheFlagWinsOverTheVariable) {
  setenv("W8A8_CPU_ISA", "scalar", 1);
  EXPECT_EQ(Select("").name, "scalar");
  setenv("W8A8_CPU_ISA", "no-such-set", 1);
  EXPECT_THROW(Select(""), BadSetting);
  EXPECT_EQ(Select("scalar").name, "scalar");
}

TEST(KernelsInUse, DoTheBulkConversionsAndTheCounting) {
  const Kernels& before = KernelsInUse();
  for (const Kernels& set : test::SetsUnderTest()) {
    UseKernels(set);
    EXPECT_EQ(&KernelsInUse(), &set);
    EXPECT_EQ(UseHalfConversions(&set.rows->half), &set.rows->half) << set.name;
    EXPECT_EQ(UseCountRows(set.rows->count_rows), set.rows->count_rows) << set.name;
  }
  UseKernels(before);
}

TEST_F(SelectKernels, AnUnknownNameIsABadSetting) { EXPECT_THROW(Select("sse9"), BadSetting); }

// What a set may do on this machine is asked once: it is the same on every thread, and later.
TEST(All, GivesEveryThreadTheSameReasons) {
  const auto reasons = [] {
    std::vector<const char*> found;
    for (const Kernels& kernels : All()) found.push_back(kernels.unusable_reason());
    return found;
  };
  std::vector<const char*> elsewhere;
  std::thread([&] { elsewhere = reasons(); }).join();
  EXPECT_EQ(reasons(), elsewhere);
}

}  // namespace
}  // namespace w8a8
