#include "tests/project/include_rule.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/project/planted_tree.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

using Breaches = std::vector<std::string>;

TEST(IncludeRule, IsKept) { EXPECT_EQ(IncludeRuleBreaches(SourceFolder()), Breaches()); }

// A tree with quant above runtime/base, each change of which breaks the rule once.
class PlantedIncludes : public testing::Test {
 protected:
  void SetUp() override {
    Plant("runtime/base/CMakeLists.txt", "w8a8_library(w8a8_base SOURCES a.cc DEPENDS fmt::fmt)\n");
    Plant("runtime/base/half.h", "#pragma once\n#include <cstdint>\n");
    Plant("quant/CMakeLists.txt", "w8a8_library(w8a8_quant SOURCES b.cc DEPENDS w8a8_base)\n");
    Plant("quant/spec.h", "#pragma once\n#include \"runtime/base/half.h\"\n");
    ASSERT_EQ(IncludeRuleBreaches(tree_.root()), Breaches());
  }
  void Plant(const std::string& file, const std::string& text) { tree_.Plant(file, text); }
  void ExpectOneBreach(const std::string& breach) {
    EXPECT_EQ(IncludeRuleBreaches(tree_.root()), Breaches{breach});
  }

  PlantedTree tree_;
};

TEST_F(PlantedIncludes, UpwardsAreFound) {
  Plant("runtime/base/half.cc", "#include \"quant/spec.h\"\n");
  ExpectOneBreach("runtime/base/half.cc: runtime/base may not include \"quant/spec.h\" (quant)");
}

TEST_F(PlantedIncludes, SidewaysAreFoundWithSpacesToo) {
  Plant("reports/CMakeLists.txt", "w8a8_library(w8a8_reports SOURCES x.cc DEPENDS w8a8_base)\n");
  Plant("reports/report.cc", "int x;\n  #  include \"quant/spec.h\"\n");
  ExpectOneBreach("reports/report.cc: reports may not include \"quant/spec.h\" (quant)");
}

TEST_F(PlantedIncludes, OfReportsInCalibAreFound) {
  Plant("reports/CMakeLists.txt", "w8a8_library(w8a8_reports SOURCES x.cc DEPENDS w8a8_base)\n");
  Plant("calib/CMakeLists.txt", "w8a8_library(w8a8_calib_lib SOURCES x.cc DEPENDS w8a8_base)\n");
  Plant("runtime/base/hdf5_file.h", "#pragma once\n");
  Plant("reports/report.h", "#pragma once\n");
  Plant("calib/stats.cc", "#include \"runtime/base/hdf5_file.h\"\n");
  EXPECT_EQ(IncludeRuleBreaches(tree_.root()), Breaches());
  Plant("calib/stats.cc", "#include \"reports/report.h\"\n");
  ExpectOneBreach("calib/stats.cc: calib may not include \"reports/report.h\" (reports)");
}

TEST_F(PlantedIncludes, RelativeToTheFileAreFound) {
  Plant("quant/spec.cc", "#include \"spec.h\"\n");
  ExpectOneBreach("quant/spec.cc: \"spec.h\" names no header of the tree from its root");
}

TEST_F(PlantedIncludes, BeyondTheDependsAreFound) {
  Plant("quant/CMakeLists.txt", "w8a8_library(w8a8_quant SOURCES b.cc)\n");
  ExpectOneBreach(
      "quant/spec.h: \"runtime/base/half.h\", but DEPENDS in quant/CMakeLists.txt do not reach "
      "w8a8_base");
}

TEST_F(PlantedIncludes, DependsUpwardsAreFound) {
  Plant("runtime/base/CMakeLists.txt",
        "w8a8_library(w8a8_base SOURCES a.cc DEPENDS fmt::fmt PRIVATE_DEPENDS w8a8_quant)\n");
  ExpectOneBreach(
      "runtime/base/CMakeLists.txt: DEPENDS on w8a8_quant (quant), which is not allowed");
}

TEST_F(PlantedIncludes, OfLibrariesOutsideTheirFoldersAreFound) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"opencv2/core.hpp", "datasets/, reports/"},
      {"hdf5.h", "runtime/base/"},
      {"png.h", "reports/"},
      {"CLI/CLI.hpp", "eval/cli/command_flags.cc, eval/cli/command_line.cc"},
      {"oneapi/dnnl/dnnl.hpp", "runtime/cpu/, eval/bench/onednn_baseline.cc"},
      {"kainjow/mustache.hpp", "reports/"},
      {"cuda_runtime.h", "runtime/cuda/"},
      {"gtest/gtest.h", ""},
  };
  for (const auto& [header, places] : wrong) {
    Plant("quant/spec.cc", "#include <" + header + ">\n");
    ExpectOneBreach("quant/spec.cc: <" + header + "> may be included only in {" + places + "}");
  }
}

// The five rooms of eval/, each with a header and with DEPENDS on all rooms before it.
TEST_F(PlantedIncludes, FromARoomIntoALaterOneAreFound) {
  const std::vector<std::string> rooms = {"run", "measure", "export", "job", "cli"};
  std::string before = "w8a8_base";
  for (const std::string& room : rooms) {
    Plant("eval/" + room + "/CMakeLists.txt",
          "w8a8_library(w8a8_" + room + " SOURCES x.cc DEPENDS " + before + ")\n");
    Plant("eval/" + room + "/door.h", "#pragma once\n#include \"runtime/base/half.h\"\n");
    if (room != "measure") before += " w8a8_" + room;  // which the exporter does not know
  }
  ASSERT_EQ(IncludeRuleBreaches(tree_.root()), Breaches());
  for (size_t from = 0; from < rooms.size(); ++from) {
    for (size_t to = from + 1; to < rooms.size(); ++to) {
      const std::string folder = "eval/" + rooms[from], header = "eval/" + rooms[to] + "/door.h";
      Plant(folder + "/wall.cc", "#include \"" + header + "\"\n");
      ExpectOneBreach(folder + "/wall.cc: " + folder + " may not include \"" + header +
                      "\" (eval/" + rooms[to] + ")");
    }
    Plant("eval/" + rooms[from] + "/wall.cc", "int x;\n");
  }
}

TEST_F(PlantedIncludes, OfTheCommandLineInAJobAreFound) {
  Plant("eval/job/CMakeLists.txt",
        "w8a8_library(w8a8_job SOURCES x.cc DEPENDS w8a8_base w8a8_cli)\n");
  ExpectOneBreach("eval/job/CMakeLists.txt: DEPENDS on w8a8_cli (eval/cli), which is not allowed");
}

TEST_F(PlantedIncludes, OfTheCommandLineLibraryStayInTwoFiles) {
  Plant("eval/cli/CMakeLists.txt", "w8a8_library(w8a8_cli SOURCES x.cc DEPENDS w8a8_base)\n");
  Plant("eval/cli/command_line.cc", "#include <CLI/CLI.hpp>\n");
  EXPECT_EQ(IncludeRuleBreaches(tree_.root()), Breaches());
  Plant("eval/cli/main.cc", "#include <CLI/CLI.hpp>\n");
  ExpectOneBreach(
      "eval/cli/main.cc: <CLI/CLI.hpp> may be included only in {eval/cli/command_flags.cc, "
      "eval/cli/command_line.cc}");
}

}  // namespace
}  // namespace w8a8::test
