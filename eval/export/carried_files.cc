#include "eval/export/carried_files.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 10> kEndings = {
    ".json", ".jsonl", ".jinja", ".py", ".txt", ".tiktoken", ".model", ".vocab", ".bpe", ".pbtxt"};
constexpr std::array<std::string_view, 3> kBeginnings = {"LICENSE", "LICENCE", "NOTICE"};

// Written anew, of another checkpoint, of a run, or the list of folders that are not copied.
constexpr std::array<std::string_view, 14> kLeftOut = {"config.json",
                                                       "plan.json",
                                                       "adapter_config.json",
                                                       "report.json",
                                                       "run.json",
                                                       "hf_quant_config.json",
                                                       "quant_config.json",
                                                       "quantize_config.json",
                                                       "requirements.txt",
                                                       "trainer_state.json",
                                                       "training_args.json",
                                                       "modules.json",
                                                       "sentence_bert_config.json",
                                                       "config_sentence_transformers.json"};

constexpr const char* kTemplates = "additional_chat_templates";  // a folder of .jinja files
constexpr size_t kLargest = size_t{1} << 30;

bool IsAscii(const std::string& name) {
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool IsCarried(const std::string& name) {
  if (name.front() == '.' || name.ends_with(".index.json") || !IsAscii(name)) return false;
  if (std::count(kLeftOut.begin(), kLeftOut.end(), name) == 1) return false;
  const auto begins = [&name](std::string_view word) { return name.starts_with(word); };
  const auto ends = [&name](std::string_view word) { return name.ends_with(word); };
  return std::any_of(kBeginnings.begin(), kBeginnings.end(), begins) ||
         std::any_of(kEndings.begin(), kEndings.end(), ends);
}

void AddFrom(const fs::path& root, const std::string& folder, std::vector<std::string>* names) {
  for (const fs::directory_entry& entry : fs::directory_iterator(root / folder)) {
    const std::string name = entry.path().filename().string();
    if (IsCarried(name) && !entry.is_directory()) names->push_back((fs::path(folder) / name));
  }
}

}  // namespace

std::vector<std::string> CarriedFiles(const fs::path& model_folder) {
  std::vector<std::string> names;
  AddFrom(model_folder, "", &names);
  if (fs::is_directory(model_folder / kTemplates)) AddFrom(model_folder, kTemplates, &names);
  std::sort(names.begin(), names.end());
  return names;
}

void CopyCarriedFiles(const fs::path& model_folder, const std::vector<std::string>& names,
                      const fs::path& out) {
  for (const std::string& name : names) {
    const fs::path from = model_folder / name;
    if (!fs::exists(from)) {
      Fail("{}: the symbolic link points to a file that does not exist; fetch the model again.",
           from.string());
    }
    MakeGroupFolders((out / name).parent_path());
    WriteFileAtomically(out / name, ReadFile(from, kLargest));
  }
}

}  // namespace w8a8
