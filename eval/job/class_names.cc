#include "eval/job/class_names.h"

#include <algorithm>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/encoder/checkpoint.h"

namespace w8a8 {
namespace {

constexpr int64_t kMaxClasses = 10'000'000;

int64_t IndexOf(const std::string& key, const JsonFields& names) {
  int64_t index = 0;
  if (!ParseClassNumber(key, &index) || index >= kMaxClasses) {
    Fail("{}: '{}' has the key '{}'; expected the index of a class.", names.file(), names.place(),
         key);
  }
  return index;
}

std::string NameOf(const JsonFields& name) {
  return name.raw().is_number_integer() ? name.raw().dump() : name.Text();
}

// {"0": "tench", "1": "goldfish"}
std::vector<ClassName> ByIndex(const JsonFields& names) {
  std::vector<ClassName> read;
  for (const auto& [key, name] : names.Members()) {
    read.push_back({.index = IndexOf(key, names), .name = NameOf(name), .description = ""});
  }
  return read;
}

// {"tench": 0, "goldfish": 1}
std::vector<ClassName> ByName(const JsonFields& indices) {
  std::vector<ClassName> read;
  for (const auto& [name, index] : indices.Members()) {
    const int64_t number =
        index.raw().is_string() ? IndexOf(index.Text(), indices) : index.Int(0, kMaxClasses - 1);
    read.push_back({.index = number, .name = name, .description = ""});
  }
  return read;
}

std::vector<ClassName> InOrder(const JsonFields& list) {
  std::vector<ClassName> read;
  for (const JsonFields& name : list.Elements()) {
    read.push_back({.index = std::ssize(read), .name = NameOf(name), .description = ""});
  }
  return read;
}

// What timm's `config`, or its pretrained_cfg, says of the classes.
std::vector<ClassName> TimmNames(const JsonFields& config) {
  std::optional<JsonFields> names = config.Find("label_names");
  if (!names) names = config.Find("labels");
  if (!names) return {};
  std::vector<ClassName> read = names->raw().is_array() ? InOrder(*names) : ByIndex(*names);
  const std::optional<JsonFields> descriptions = config.Object("label_descriptions");
  if (!descriptions) return read;
  for (ClassName& name : read) name.description = descriptions->Text(name.name.c_str(), "");
  return read;
}

std::vector<ClassName> NamesIn(const JsonFields& config) {
  const std::optional<JsonFields> by_index = config.Object("id2label");
  const std::optional<JsonFields> by_name = config.Object("label2id");
  std::vector<ClassName> hugging_face;
  if (by_index) hugging_face = ByIndex(*by_index);
  if (by_name && std::ranges::all_of(hugging_face, IsPlaceholder)) hugging_face = ByName(*by_name);
  if (!hugging_face.empty()) return hugging_face;
  std::vector<ClassName> names = TimmNames(config);
  const std::optional<JsonFields> pretrained = config.Object("pretrained_cfg");
  return names.empty() && pretrained ? TimmNames(*pretrained) : names;
}

}  // namespace

ClassNames ReadClassNames(const std::filesystem::path& folder) {
  const std::filesystem::path file = TowerFolder(folder) / "config.json";
  const nlohmann::json parsed = ReadJsonObject(file);
  const JsonFields config(parsed, file, "");
  return {.names = NamesIn(config),
          .order = config.Has("architecture") ? FolderOrder::kNatural : FolderOrder::kBytewise};
}

}  // namespace w8a8
