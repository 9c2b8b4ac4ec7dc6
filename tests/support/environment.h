// What a test may find on this machine, and loud skips for what it does not.
#pragma once

#include <filesystem>
#include <string>

namespace w8a8::test {

// The root of the source tree.
std::filesystem::path SourceFolder();
// The real model and photos (W8A8_DATA, else ../shared/data beside the source tree); empty if
// absent.
std::filesystem::path DataFolder();
// The ViT-Ti/16 folder inside it.
std::filesystem::path VitTinyFolder();
// A fresh folder for this test, removed and remade; all of a process's are removed at its end.
std::filesystem::path ScratchFolder(const std::string& name);
// True if W8A8_REQUIRE (a comma list) names `what`.
bool Required(const std::string& what);
// The golden files of the source tree: tests/golden.
std::filesystem::path GoldenFolder();

}  // namespace w8a8::test

// Skips the running test with a line that cannot be overlooked, or fails it if W8A8_REQUIRE says
// so.
#define W8A8_SKIP_OR_FAIL(what, why)                                                    \
  do {                                                                                  \
    if (::w8a8::test::Required(what)) FAIL() << "W8A8_REQUIRE names " what ": " << why; \
    GTEST_SKIP() << "*** SKIPPED, " what " is missing: " << why << " ***";              \
  } while (false)
