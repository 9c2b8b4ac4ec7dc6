#include "tests/project/include_rule.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/base/atomic_file.h"
#include "tests/project/source_files.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

struct Folder {
  std::string_view path;
  std::string_view target;            // its CMake library
  std::vector<std::string_view> may;  // the folders it may include, itself apart
};

const std::vector<Folder>& Folders() {
  static const std::vector<Folder> folders = {
      {"runtime/base", "w8a8_base", {}},
      {"quant", "w8a8_quant", {"runtime/base"}},
      {"runtime/encoder", "w8a8_encoder", {"quant", "runtime/base"}},
      {"datasets", "w8a8_datasets", {"runtime/base"}},
      {"reports", "w8a8_reports", {"runtime/base"}},
      {"runtime", "w8a8_runtime", {"runtime/encoder", "quant", "runtime/base"}},
      {"runtime/cpu", "w8a8_cpu", {"runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"runtime/cuda", "w8a8_cuda", {"runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"calib", "w8a8_calib_lib", {"runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"eval/run", "w8a8_run", {"runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"eval/measure",
       "w8a8_measure",
       {"eval/run", "calib", "reports", "runtime/cpu", "runtime", "runtime/encoder", "quant",
        "runtime/base"}},
      {"eval/export",
       "w8a8_export",
       {"eval/run", "runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"eval/bench",
       "w8a8_bench",
       {"eval/measure", "eval/run", "calib", "runtime/cpu", "runtime", "runtime/encoder", "quant",
        "runtime/base"}},
      {"eval/job",
       "w8a8_job",
       {"eval/export", "eval/measure", "eval/run", "calib", "reports", "datasets", "runtime/cpu",
        "runtime/cuda", "runtime", "runtime/encoder", "quant", "runtime/base"}},
      {"eval/cli",
       "w8a8_cli",
       {"eval/job", "eval/bench", "eval/export", "eval/measure", "eval/run", "calib", "reports",
        "datasets", "runtime/cpu", "runtime/cuda", "runtime", "runtime/encoder", "quant",
        "runtime/base"}},
  };
  return folders;
}

// Library headers, by the start of the include, and the files or folders that may include them.
struct Library {
  std::string_view header;
  std::vector<std::string_view> places;
};

const std::vector<Library>& Libraries() {
  static const std::vector<Library> libraries = {
      {"opencv2/", {"datasets/", "reports/"}},
      {"hdf5", {"runtime/base/"}},
      {"kainjow/", {"reports/"}},
      {"CLI/", {"eval/cli/command_flags.cc", "eval/cli/command_line.cc"}},
      {"oneapi/", {"runtime/cpu/", "eval/bench/onednn_baseline.cc"}},
      {"openssl/", {"runtime/base/", "reports/"}},
      {"png.h", {"reports/"}},
      {"cu", {"runtime/cuda/"}},  // cuda.h, cublasLt.h, cudnn.h, ...
      {"immintrin.h", {"runtime/cpu/"}},
      {"gtest/", {}},
      {"gmock/", {}},
      {"benchmark/", {}},
  };
  return libraries;
}

// The deepest of our folders that holds `file`, or nullptr.
const Folder* FolderOf(std::string_view file) {
  const Folder* best = nullptr;
  for (const Folder& folder : Folders()) {
    const bool inside = file.starts_with(folder.path) && file.size() > folder.path.size() &&
                        file[folder.path.size()] == '/';
    if (inside && (best == nullptr || folder.path.size() > best->path.size())) best = &folder;
  }
  return best;
}

bool MayInclude(const Folder& from, const Folder& to) {
  return &from == &to || std::ranges::find(from.may, to.path) != from.may.end();
}

std::set<std::string> TargetsNamedIn(const fs::path& cmake_file) {
  std::set<std::string> targets;
  if (!fs::exists(cmake_file)) return targets;
  const std::string text = ReadFile(cmake_file);
  static const std::regex call(R"(w8a8_library\s*\(([^)]*)\))");
  static const std::regex word(R"([A-Za-z0-9_:]+)");
  for (std::sregex_iterator match(text.begin(), text.end(), call), end; match != end; ++match) {
    const std::string arguments = (*match)[1];
    const size_t depends = arguments.find("DEPENDS");
    if (depends == std::string::npos) continue;
    for (std::sregex_iterator name(arguments.begin() + static_cast<std::ptrdiff_t>(depends),
                                   arguments.end(), word);
         name != end; ++name) {
      targets.insert(name->str());
    }
  }
  return targets;
}

class Checker {
 public:
  explicit Checker(fs::path root) : root_(std::move(root)) {
    for (const Folder& folder : Folders()) {
      depends_[&folder] = TargetsNamedIn(root_ / folder.path / "CMakeLists.txt");
    }
  }

  std::vector<std::string> Run() {
    for (const Folder& folder : Folders()) CheckDepends(folder);
    for (const std::string& file : SourceFiles(root_)) {
      if (const Folder* folder = FolderOf(file)) CheckFile(file, *folder);
    }
    return breaches_;
  }

 private:
  void CheckDepends(const Folder& from) {
    for (const Folder& to : Folders()) {
      if (depends_[&from].contains(std::string(to.target)) && !MayInclude(from, to)) {
        breaches_.push_back(
            fmt::format("{}/CMakeLists.txt: DEPENDS on {} ({}), which is not allowed", from.path,
                        to.target, to.path));
      }
    }
  }

  void CheckFile(const std::string& file, const Folder& from) {
    static const std::regex include(R"re(^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">])re",
                                    std::regex::multiline);
    const std::string text = ReadFile(root_ / file);
    for (std::sregex_iterator match(text.begin(), text.end(), include), end; match != end;
         ++match) {
      const std::string header = (*match)[2];
      if ((*match)[1] == "<") {
        CheckLibrary(file, header);
      } else {
        CheckOwn(file, from, header);
      }
    }
  }

  void CheckOwn(const std::string& file, const Folder& from, const std::string& header) {
    const Folder* to = FolderOf(header);
    if (to == nullptr || !fs::exists(root_ / header)) {
      breaches_.push_back(
          fmt::format("{}: \"{}\" names no header of the tree from its root", file, header));
    } else if (!MayInclude(from, *to)) {
      breaches_.push_back(
          fmt::format("{}: {} may not include \"{}\" ({})", file, from.path, header, to->path));
    } else if (&from != to && !Reaches(from, *to)) {
      breaches_.push_back(
          fmt::format("{}: \"{}\", but DEPENDS in {}/CMakeLists.txt do not reach {}", file, header,
                      from.path, to->target));
    }
  }

  void CheckLibrary(const std::string& file, const std::string& header) {
    for (const Library& library : Libraries()) {
      const auto holds = [&](std::string_view place) { return file.starts_with(place); };
      if (header.starts_with(library.header) && std::ranges::none_of(library.places, holds)) {
        breaches_.push_back(fmt::format("{}: <{}> may be included only in {{{}}}", file, header,
                                        fmt::join(library.places, ", ")));
      }
    }
  }

  // The allowed edges have no cycle, so following allowed DEPENDS ends.
  bool Reaches(const Folder& from, const Folder& to) {
    return std::ranges::any_of(Folders(), [&](const Folder& next) {
      return &next != &from && MayInclude(from, next) &&
             depends_[&from].contains(std::string(next.target)) &&
             (&next == &to || Reaches(next, to));
    });
  }

  fs::path root_;
  std::map<const Folder*, std::set<std::string>> depends_;
  std::vector<std::string> breaches_;
};

}  // namespace

std::vector<std::string> IncludeRuleBreaches(const fs::path& root) { return Checker(root).Run(); }

}  // namespace w8a8::test
