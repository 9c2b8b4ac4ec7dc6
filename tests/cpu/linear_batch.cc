// Runs the command lines on stdin, one a line, as w8a8-calib would, in one process: starting the
// program costs 0.1 s, most of it in loading OpenCV's image libraries. Prints each exit code.
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "eval/cli/command_line.h"
#include "eval/cli/commands/linear.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

int RunLine(const std::string& line) {
  std::vector<std::string> words{"w8a8-calib"};
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  try {
    const auto options = ParseCommandLine(static_cast<int>(argv.size()), argv.data());
    return options ? RunLinear(*options) : 0;
  } catch (const BadSetting& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  } catch (const Error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace
}  // namespace w8a8

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << w8a8::RunLine(line) << std::endl;
  }
}
