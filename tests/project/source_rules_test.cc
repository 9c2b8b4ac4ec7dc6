#include "tests/project/source_rules.h"

#include <gtest/gtest.h>

#include "tests/project/planted_tree.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

using Breaches = std::vector<std::string>;

TEST(SourceRules, AreKept) { EXPECT_EQ(SourceRuleBreaches(SourceFolder()), Breaches()); }

TEST(SourceRules, LongFilesAreFound) {
  const PlantedTree tree;
  std::string text = "#pragma once\n";
  for (int64_t line = 1; line < kMostLines; ++line) text += "\n";
  tree.Plant("quant/spec.h", text);
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("quant/spec.h", text + "\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches{"quant/spec.h: 401 lines, more than 400"});
}

TEST(SourceRules, HeadersWithoutAGuardAreFound) {
  const PlantedTree tree;
  tree.Plant("quant/spec.h", "int x;\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches{"quant/spec.h: no #pragma once"});
}

TEST(SourceRules, MachinePathsAndLeftWorkAreFound) {
  const PlantedTree tree;
  tree.Plant("scripts/plot.py", std::string("import sys\npath = '/ho") + "me/me/data'\n");
  tree.Plant("README.md", std::string("TO") + "DO\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()),
            (Breaches{std::string("scripts/plot.py:2: holds '/ho") + "me/'",
                      std::string("README.md:1: holds 'TO") + "DO'"}));
}

TEST(SourceRules, UnlistedSourcesAreFound) {
  const PlantedTree tree;
  tree.Plant("quant/CMakeLists.txt", "w8a8_library(w8a8_quant SOURCES a.cc kinds/b.cc)\n");
  tree.Plant("quant/a.cc", "\n");
  tree.Plant("quant/kinds/b.cc", "\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("quant/aa.cc", "\n");
  tree.Plant("quant/b.cc", "\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), (Breaches{"quant/aa.cc: no CMakeLists.txt lists it",
                                                       "quant/b.cc: no CMakeLists.txt lists it"}));
}

TEST(SourceRules, ChoicesOfAnInstructionSetOutsideItsListAreFound) {
  const PlantedTree tree;
  const std::string choice =
      std::string("#pragma once\nif (__builtin_cpu_") + "supports(\"avx2\"))\n";
  tree.Plant("runtime/cpu/CMakeLists.txt", "w8a8_library(w8a8_cpu SOURCES kernel_list.cc)\n");
  tree.Plant("runtime/cpu/kernel_list.cc", choice);
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("quant/spec.h", choice);
  EXPECT_EQ(SourceRuleBreaches(tree.root()),
            Breaches{std::string("quant/spec.h: chooses an instruction set by __builtin_cpu_") +
                     "supports(...)"});
}

// `lines` lines from the signature to the brace.
std::string Function(const std::string& indent, int64_t lines) {
  std::string text = indent + "void Do() {\n";
  for (int64_t line = 2; line < lines; ++line) text += indent + "  Step();\n";
  return text + indent + "}\n";
}

TEST(SourceRules, LongFunctionsAreFound) {
  const PlantedTree tree;
  const std::string header = "#pragma once\n";
  const std::string most = Function("", kMostFunctionLines);
  tree.Plant("quant/spec.h",
             header + most + "class Doer {\n" + Function("  ", kMostFunctionLines) + "};\n" + most);
  tree.Plant("tests/quant/made.h", header + Function("", kMostFunctionLines + 1));
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("quant/spec.h", header + Function("", kMostFunctionLines + 1) + "class Doer {\n" +
                                 Function("  ", kMostFunctionLines + 2) + "};\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()),
            (Breaches{"quant/spec.h:2: a function of 41 lines, more than 40",
                      "quant/spec.h:44: a function of 42 lines, more than 40"}));
}

TEST(SourceRules, TolerancesWithoutANameAreFound) {
  const PlantedTree tree;
  const std::string near = std::string("#pragma once\nEXPECT_NE") + "AR(F(1, 2), {3, 4},";
  tree.Plant("tests/quant/made.h", near + " 2 * HalfUlp(5.0)) << 1;\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("tests/quant/made.h", near + " 3 * 1e-6f) << 1;\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()),
            Breaches{"tests/quant/made.h:2: a tolerance without a name: 3 * 1e-6f"});
}

TEST(SourceRules, FlagsBelowTheCommandLineAreFound) {
  const PlantedTree tree;
  const std::string header = "#pragma once\n";
  tree.Plant("quant/spec.h",
             header + "for (;; --bits) Say(\"a -- b, hf download --local-dir D\");\n");
  tree.Plant("eval/cli/flags.h", header + "const char* flag = \"--images\";\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()), Breaches());
  tree.Plant("quant/spec.h", header + "Fail(\"{}: use --fake ideal.\");\n");
  tree.Plant("eval/job/images.h", header + "// The images of --eval-images.\n");
  EXPECT_EQ(SourceRuleBreaches(tree.root()),
            (Breaches{"eval/job/images.h:2: names the flag --eval-images",
                      "quant/spec.h:2: names the flag --fake"}));
}

}  // namespace
}  // namespace w8a8::test
