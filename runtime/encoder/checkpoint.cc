#include "runtime/encoder/checkpoint.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "runtime/base/json_fields.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
// How a tower without a prefix is chosen beside one that has one.
constexpr const char* kNoPrefix = ".";

// "owner/model", as the Hugging Face hub names its repositories.
bool LooksLikeHubName(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == 0 || slash == std::string::npos || slash + 1 == text.size()) return false;
  if (text.find('/', slash + 1) != std::string::npos || text.front() == '.') return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '-' || c == '_' || c == '.';
  });
}

std::vector<std::string> NamesWithExtension(const fs::path& folder,
                                            const std::set<std::string>& extensions) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (extensions.contains(entry.path().extension().string())) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The reference's loader for pickled weights runs code from the file; so they are converted once,
// outside, with the flag that forbids it.
void RefusePickledWeights(const fs::path& folder) {
  const std::vector<std::string> pickled =
      NamesWithExtension(folder, {".bin", ".pth", ".pt", ".ckpt"});
  if (pickled.empty() || !NamesWithExtension(folder, {".safetensors"}).empty()) return;
  // Beside transformers' weights a trainer leaves its arguments, optimizer and scheduler.
  std::vector<std::string> weights = pickled;
  std::erase_if(weights, [](const std::string& n) { return !n.starts_with("pytorch_model"); });
  if (weights.empty()) weights = pickled;
  for (std::string& name : weights) name = (folder / name).string();
  Fail(
      "{}: the weights are in PyTorch's format ({}{}); only safetensors is read. Convert them:\n"
      "       python3 -c \"import torch, safetensors.torch as s; s.save_file({{k: v.clone() for f "
      "in ['{}'] for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}}, "
      "'{}')\"",
      folder.string(), fs::path(weights.front()).filename().string(),
      weights.size() > 1 ? ", ..." : "", fmt::join(weights, "', '"),
      (folder / kSingleFile).string());
}

// "model" as its tensors have it, "model."; kNoPrefix as "".
std::string PrefixFromName(const std::string& name) {
  if (name == kNoPrefix) return "";
  return name.empty() || name.back() == '.' ? name : name + ".";
}

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

// Video-LLaVA has a tower for images beside one for videos: of the two that for images; "" where
// the prefixes are others.
std::string ImageTowerOf(const std::vector<std::string>& prefixes) {
  constexpr std::string_view kImages = "image_tower.", kVideos = "video_tower.";
  for (const std::string& prefix : prefixes) {
    const size_t at = prefix.find(kImages);
    if (at == prefix.npos || prefixes.size() != 2) continue;
    std::string other = prefix;
    other.replace(at, kImages.size(), kVideos);
    if (std::count(prefixes.begin(), prefixes.end(), other) == 1) return prefix;
  }
  return "";
}

}  // namespace

void RequireModelFolder(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return RefusePickledWeights(folder);
  const std::string text = folder.string();
  if (fs::exists(folder, ignored)) {
    Fail("{}: is a file; give the folder that holds config.json and model.safetensors.", text);
  }
  if (!LooksLikeHubName(text)) {
    Fail("{}: no such folder; give the folder that holds config.json and model.safetensors.", text);
  }
  const std::string local = text.substr(text.find('/') + 1);
  Fail(
      "{}: no such folder, and nothing is downloaded here. If this is a name on the Hugging Face "
      "hub, fetch it first and give the folder:\n"
      "       pip install huggingface_hub && hf download {} --local-dir {}",
      text, text, local);
}

fs::path TowerFolder(const fs::path& folder) {
  const fs::path tower = folder / kTowerFolder;
  return !HasWeights(folder) && fs::exists(tower / "config.json") ? tower : folder;
}

bool HasWeights(const fs::path& folder) {
  return fs::exists(folder / kSingleFile) || fs::exists(folder / kIndexFile);
}

Checkpoint::Checkpoint(const fs::path& folder) : folder_(folder) {
  RequireModelFolder(folder);
  if (fs::exists(folder / kSingleFile)) {
    AddFile(folder / kSingleFile);
  } else if (fs::exists(folder / kIndexFile)) {
    OpenShards(folder / kIndexFile);
  } else if (fs::is_symlink(folder / kSingleFile)) {
    Fail("{}: the symbolic link points to a file that does not exist; fetch the model again.",
         (folder / kSingleFile).string());
  } else {
    const std::vector<std::string> found = NamesWithExtension(folder, {".safetensors"});
    Fail("{}: holds neither {} nor {}{}{}.", folder.string(), kSingleFile, kIndexFile,
         found.empty() ? "" : "; it does hold ", fmt::join(found, ", "));
  }
}

void Checkpoint::AddFile(const fs::path& path) {
  shards_.emplace_back(path);
  files_.push_back(path);
  for (const auto& [key, view] : shards_.back().tensors()) {
    if (!tensors_.emplace(key, view).second) {
      Fail("{}: tensor '{}' is also in another shard of {}.", path.string(), key, folder_.string());
    }
  }
}

void Checkpoint::OpenShards(const fs::path& index) {
  const nlohmann::json parsed = ReadJsonObject(index);
  const std::optional<JsonFields> map = JsonFields(parsed, index, "").Object("weight_map");
  if (!map || map->raw().empty()) Fail("{}: 'weight_map' is missing or empty.", index.string());
  std::set<std::string> names;
  for (const auto& [key, value] : map->raw().items()) {
    const std::string name = map->Text(key.c_str(), "");
    if (!IsPlainFileName(name)) {
      Fail("{}: tensor '{}' is mapped to '{}'; a shard is a plain file name in the same folder.",
           index.string(), key, name);
    }
    names.insert(name);
  }
  for (const std::string& name : names) {
    if (!fs::exists(folder_ / name)) {
      Fail("{}: names the shard '{}', which does not exist{}; fetch the model again.",
           index.string(), name,
           fs::is_symlink(folder_ / name) ? " (a symbolic link that leads nowhere)" : "");
    }
    AddFile(folder_ / name);
  }
  for (const auto& [key, value] : map->raw().items()) {
    const auto shard = std::find(files_.begin(), files_.end(), folder_ / value.get<std::string>());
    const auto position = static_cast<size_t>(shard - files_.begin());
    if (shards_[position].Find(key) == nullptr) {
      Fail("{}: says that tensor '{}' is in '{}', but it is not there.", index.string(), key,
           value.get<std::string>());
    }
  }
}

const TensorView* Checkpoint::Find(std::string_view key) const {
  const auto found = tensors_.find(key);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::string Checkpoint::WhereIs(const TensorView& tensor) const {
  size_t file = 0;
  while (!Holds(file, tensor.name)) ++file;
  return fmt::format("{}: tensor '{}'", files_[file].string(), tensor.name);
}

const std::string* Checkpoint::Metadata(const std::string& key) const {
  for (const SafetensorsFile& shard : shards_) {
    const auto found = shard.metadata().find(key);
    if (found != shard.metadata().end()) return &found->second;
  }
  return nullptr;
}

std::vector<std::string> Checkpoint::PrefixesOf(std::string_view anchor) const {
  std::vector<std::string> prefixes;
  for (const auto& [key, view] : tensors_) {
    if (!key.ends_with(anchor)) continue;
    const std::string prefix = key.substr(0, key.size() - anchor.size());
    if (prefix.empty() || prefix.back() == '.') prefixes.push_back(prefix);
  }
  return prefixes;
}

bool Checkpoint::HasTower(std::string_view anchor, const std::string& wanted) const {
  const std::vector<std::string> prefixes = PrefixesOf(anchor);
  if (wanted.empty()) return !prefixes.empty();
  return std::count(prefixes.begin(), prefixes.end(), PrefixFromName(wanted)) == 1;
}

std::string Checkpoint::FindTower(std::string_view anchor, const std::string& wanted) const {
  std::vector<std::string> prefixes = PrefixesOf(anchor);
  if (prefixes.empty()) {
    Fail(
        "{}: no tensor is named '{}', with or without a prefix; this is not a checkpoint of the "
        "family that its config.json names.",
        folder_.string(), anchor);
  }
  if (wanted.empty() && prefixes.size() == 1) return prefixes.front();
  if (std::string images = ImageTowerOf(prefixes); wanted.empty() && !images.empty()) {
    return images;
  }
  if (!wanted.empty() && HasTower(anchor, wanted)) return PrefixFromName(wanted);
  std::replace(prefixes.begin(), prefixes.end(), std::string(), std::string(kNoPrefix));
  FailWith({Setting::kModelPrefix, "P"}, "{}: {}; choose one of the prefixes '{}'.",
           folder_.string(),
           wanted.empty() ? std::string("the checkpoint holds several vision towers")
                          : fmt::format("no vision tower has the prefix '{}'", wanted),
           fmt::join(prefixes, "', '"));
}

}  // namespace w8a8
