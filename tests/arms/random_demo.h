// A made-up model and drawn images in a scratch folder: what whole jobs are tried on.
#pragma once

#include <filesystem>
#include <string>

namespace w8a8::test {

// Empties the scratch folder `name` and puts `demo --random` into its demo/: model/ and images/.
std::filesystem::path FolderWithRandomDemo(const std::string& name);

}  // namespace w8a8::test
