#include "tests/project/source_rules.h"

#include <algorithm>
#include <array>
#include <regex>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "runtime/base/atomic_file.h"
#include "tests/project/source_files.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// The sorted files under root's `folders` whose names end in one of `endings`.
std::vector<std::string> FilesEndingIn(const fs::path& root,
                                       const std::vector<std::string_view>& folders,
                                       const std::vector<std::string_view>& endings) {
  std::vector<std::string> files;
  for (const std::string_view folder : folders) {
    if (!fs::is_directory(root / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string name = entry.path().string();
      const bool wanted = std::ranges::any_of(
          endings, [&](std::string_view ending) { return name.ends_with(ending); });
      if (wanted && entry.is_regular_file()) {
        files.push_back(fs::relative(entry.path(), root).generic_string());
      }
    }
  }
  std::ranges::sort(files);
  return files;
}

// Split, so that this file keeps the rule it checks.
const std::vector<std::string>& ForbiddenTexts() {
  static const std::vector<std::string> texts = {
      std::string("/wo") + "rk/", std::string("/ho") + "me/", std::string("/ro") + "ot/",
      std::string("TO") + "DO",   std::string("FIX") + "ME",  std::string("XX") + "X",
  };
  return texts;
}

void CheckText(const std::string& file, const std::string& text,
               std::vector<std::string>& breaches) {
  for (const std::string& forbidden : ForbiddenTexts()) {
    const size_t place = text.find(forbidden);
    if (place == std::string::npos) continue;
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(place), '\n');
    breaches.push_back(fmt::format("{}:{}: holds '{}'", file, line, forbidden));
  }
}

// One file asks what the CPU can do, and instruction sets are chosen by table, never per function.
void CheckInstructionSets(const std::string& file, const std::string& text,
                          std::vector<std::string>& breaches) {
  if (file == "runtime/cpu/kernel_list.cc") return;
  for (const char* choice : {"__builtin_cpu_"
                             "supports(",
                             "gnu::"
                             "target(",
                             "(("
                             "target("}) {
    if (text.find(choice) == std::string::npos) continue;
    breaches.push_back(fmt::format("{}: chooses an instruction set by {}...)", file, choice));
  }
}

// What a line of C++ says to people: its string literals and its comment.
std::string SaidIn(const std::string& line) {
  std::string said;
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (!quoted && line.compare(i, 2, "//") == 0) return said + line.substr(i);
    if (line[i] == '\\') ++i;
    quoted = quoted != (line[i] == '"');
    if (quoted || line[i] == '"') said += line[i];
  }
  return said;
}

// Values travel down from the command line; how it spells them stays there.
void CheckFlags(const std::string& file, const std::string& text,
                std::vector<std::string>& breaches) {
  if (file.starts_with("eval/cli/") || file.starts_with("tests/")) return;
  static const std::regex flag("(^|[\\s\"'(`])(--[a-z][a-z-]*)");
  static const std::set<std::string> of_others = {"--local-dir"};  // hf download
  std::istringstream lines(text);
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    const std::string said = SaidIn(line);
    for (std::sregex_iterator match(said.begin(), said.end(), flag), end; match != end; ++match) {
      const std::string name = (*match)[2];
      if (!of_others.contains(name)) {
        breaches.push_back(fmt::format("{}:{}: names the flag {}", file, number, name));
      }
    }
  }
}

// A function goes from the line on which its signature begins to its closing brace; a block of a
// function, as long as one, counts too.
void CheckFunctions(const std::string& file, const std::string& text, const std::string& indent,
                    std::vector<std::string>& breaches) {
  std::istringstream lines(text);
  std::string line;
  int64_t begin = 1;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    const int64_t length = number - begin + 1;
    if (line == indent + "}" && length > kMostFunctionLines) {
      breaches.push_back(fmt::format("{}:{}: a function of {} lines, more than {}", file, begin,
                                     length, kMostFunctionLines));
    }
    const bool begins = line.starts_with(indent) && line.size() > indent.size() &&
                        std::string_view(" }#/").find(line[indent.size()]) == std::string::npos;
    if (begins) begin = number;
  }
}

// The last argument of a call whose opening parenthesis stands at `open`.
std::string LastArgument(const std::string& text, size_t open) {
  size_t begin = open + 1;
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '(' || text[i] == '{') ++depth;
    if (text[i] == ',' && depth == 1) begin = i + 1;
    if ((text[i] == ')' || text[i] == '}') && --depth == 0) return text.substr(begin, i - begin);
  }
  return "";
}

void CheckTolerances(const std::string& file, const std::string& text,
                     std::vector<std::string>& breaches) {
  static const std::regex number("[-+*/ .0-9eExXfFpP'()\\s]+");
  const std::string call = "_NEAR(";
  for (size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
    const std::string tolerance = LastArgument(text, at + call.size() - 1);
    if (!std::regex_match(tolerance, number)) continue;
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(at), '\n');
    breaches.push_back(fmt::format("{}:{}: a tolerance without a name:{}", file, line, tolerance));
  }
}

void CheckSource(const fs::path& root, const std::string& file, const std::string& text,
                 std::vector<std::string>& breaches) {
  const int64_t lines = std::count(text.begin(), text.end(), '\n');
  if (lines > kMostLines) {
    breaches.push_back(fmt::format("{}: {} lines, more than {}", file, lines, kMostLines));
  }
  if (file.ends_with(".h")) {
    if (text.find("#pragma once\n") == std::string::npos) {
      breaches.push_back(fmt::format("{}: no #pragma once", file));
    }
    return;
  }
  // A source stands in the CMakeLists.txt of its own folder or of one above it.
  for (fs::path folder = fs::path(file).parent_path(); !folder.empty();
       folder = folder.parent_path()) {
    const fs::path list = root / folder / "CMakeLists.txt";
    if (!fs::exists(list)) continue;
    const std::string name = fs::path(file).lexically_relative(folder).generic_string();
    const std::regex listed("(^|[\\s(])" + std::regex_replace(name, std::regex("\\."), "\\.") +
                            "($|[\\s)])");
    if (std::regex_search(ReadFile(list), listed)) return;
  }
  breaches.push_back(fmt::format("{}: no CMakeLists.txt lists it", file));
}

}  // namespace

std::vector<std::string> SourceFiles(const fs::path& root) {
  return FilesEndingIn(root, {"calib", "datasets", "eval", "quant", "reports", "runtime", "tests"},
                       {".h", ".cc", ".cu", ".cuh"});
}

std::vector<std::string> TextFiles(const fs::path& root) {
  std::vector<std::string> files = FilesEndingIn(
      root, {"calib", "datasets", "eval", "quant", "reports", "runtime", "tests", "scripts", ".ci"},
      {".h", ".cc", ".cu", ".cuh", ".py", ".sh", ".cmake", ".txt", ".md", ".mustache", "/run",
       "/setup", "/test", "/lint", "/demo", "/gpu-check"});
  for (const char* name : {"CMakeLists.txt", "CMakePresets.json", "README.md"}) {
    if (fs::exists(root / name)) files.emplace_back(name);
  }
  return files;
}

std::vector<std::string> SourceRuleBreaches(const fs::path& root) {
  std::vector<std::string> breaches;
  for (const std::string& file : TextFiles(root)) CheckText(file, ReadFile(root / file), breaches);
  for (const std::string& file : SourceFiles(root)) {
    const std::string text = ReadFile(root / file);
    CheckSource(root, file, text, breaches);
    CheckFlags(file, text, breaches);
    CheckInstructionSets(file, text, breaches);
    if (file.starts_with("tests/")) {
      CheckTolerances(file, text, breaches);
    } else {
      CheckFunctions(file, text, "", breaches);
      CheckFunctions(file, text, "  ", breaches);
    }
  }
  return breaches;
}

}  // namespace w8a8::test
