#include "eval/cli/artifacts/items.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include <nlohmann/json.hpp>

#include "calib/wide_int.h"
#include "eval/cli/artifacts/artifact.h"
#include "reports/html_writer.h"
#include "runtime/base/error.h"
#include "runtime/base/hdf5_objects.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// An element's place in its list: by what names it, so that one more arm does not shift the others.
std::string NameOf(const json& element, size_t index) {
  std::string name;
  if (element.is_object()) {
    for (const char* key : {"name", "site", "arm", "view", "rule", "file"}) {
      const auto found = element.find(key);
      if (found == element.end() || !found->is_string()) continue;
      if (!name.empty()) name += ' ';
      name += found->get<std::string>();
    }
  }
  return name.empty() ? fmt::format("{}", index) : name;
}

void AddJson(const json& value, const std::string& place, Items& items) {
  const auto under = [&](const std::string& name) {
    return place.empty() || place.ends_with(": ") ? place + name : place + "/" + name;
  };
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) AddJson(member, under(key), items);
  } else if (value.is_array()) {
    std::map<std::string, size_t> seen;
    for (size_t i = 0; i < value.size(); ++i) {
      std::string name = NameOf(value[i], i);
      const size_t earlier = seen[name]++;
      if (earlier > 0) name += fmt::format(" ({})", earlier + 1);
      AddJson(value[i], under(name), items);
    }
  } else if (!value.is_null()) {
    const std::string text = JsonText(value);
    items[place] = {text, text, nullptr};
  }
}

// The sums of statistics are fixed point, in one word or two, the high one first.
int FractionBits(const Hdf5Object& object) {
  if (object.type != "uint64" || !object.path.starts_with("/sites/")) return 0;
  const bool wide = object.shape.size() == 2 && object.shape[1] == 2;
  if (object.path.ends_with("/channel_sum") && wide) return kSumFractionBits;
  if (object.path.ends_with("/channel_sum_sq") && wide) return kSumOfSquaresFractionBits;
  return object.path.ends_with("/position_absmax_sum") ? kSumFractionBits : 0;
}

std::vector<double> NumbersOf(const Hdf5Objects& file, const Hdf5Object& object) {
  const int fraction_bits = FractionBits(object);
  if (fraction_bits == 0) return file.Numbers(object);
  const std::vector<std::byte> bytes = file.Bytes(object);
  std::vector<uint64_t> words(bytes.size() / sizeof(uint64_t));
  if (!words.empty()) std::memcpy(words.data(), bytes.data(), bytes.size());
  const double unit = 1.0 / static_cast<double>(uint64_t{1} << fraction_bits);
  std::vector<double> values;
  if (object.shape.size() == 1) {
    for (const uint64_t word : words) values.push_back(static_cast<double>(word) * unit);
  } else {
    for (size_t i = 0; i + 1 < words.size(); i += 2) {
      values.push_back(static_cast<double>(FromWords(words[i], words[i + 1])) * unit);
    }
  }
  return values;
}

void AddHdf5(const fs::path& path, const std::string& prefix, RunFacts run, Items& items) {
  const auto file = std::make_shared<const Hdf5Objects>(path);
  for (const Hdf5Object& object : file->all()) {
    const bool of_run = object.path.starts_with("/run/") || object.path.starts_with("/run@");
    if (run == RunFacts::kIgnored && of_run) continue;
    const std::vector<std::byte> bytes = file->Bytes(object);
    Item item{fmt::format("{} {}", object.type, Hdf5ShapeText(object.shape)), "", nullptr};
    item.digest = item.text + Sha256Hex(bytes);
    if (object.type != "text") {
      item.numbers = [file, object] { return NumbersOf(*file, object); };
    } else if (object.shape.empty()) {
      item.text.assign(reinterpret_cast<const char*>(bytes.data()));
    }
    items[prefix + object.path] = std::move(item);
  }
}

std::vector<double> NumbersOf(const TensorView& tensor) {
  if (tensor.dtype == Dtype::kI8) {
    const std::vector<int8_t> values = Int8Values(tensor);
    return {values.begin(), values.end()};
  }
  const std::vector<float> values = FloatValues(tensor);
  return {values.begin(), values.end()};
}

void AddSafetensors(const fs::path& path, const std::string& prefix, Items& items) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  for (const auto& [key, value] : file->metadata()) {
    items[prefix + "__metadata__/" + key] = {value, value, nullptr};
  }
  for (const auto& [key, tensor] : file->tensors()) {
    Item item{fmt::format("{} {}", DtypeName(tensor.dtype), tensor.ShapeText()), "", nullptr};
    item.digest = item.text + Sha256Hex(tensor.bytes);
    const bool readable = tensor.dtype == Dtype::kI8 || tensor.dtype == Dtype::kF32 ||
                          tensor.dtype == Dtype::kF16 || tensor.dtype == Dtype::kBF16;
    if (readable) item.numbers = [file, view = &tensor] { return NumbersOf(*view); };
    items[prefix + key] = std::move(item);
  }
}

void AddPage(const fs::path& path, const std::string& prefix, RunFacts run, Items& items) {
  std::ifstream in(path, std::ios::binary);
  std::string page{std::istreambuf_iterator<char>(in), {}};
  if (!in.good() && !in.eof()) Fail("{}: cannot be read.", path.string());
  const std::string end = kRunSectionEnd;
  for (size_t from = 0;
       run == RunFacts::kIgnored && (from = page.find(kRunSectionBegin, from)) != page.npos;) {
    const size_t to = page.find(end, from);
    page.erase(from, to == page.npos ? to : to + end.size() - from);
  }
  items[prefix + "page"] = {fmt::format("{} bytes", page.size()), Sha256Hex(page), nullptr};
}

void AddBytes(const fs::path& path, const std::string& prefix, Items& items) {
  const std::string sha256 = Sha256HexOfFile(path);
  items[prefix + "bytes"] = {"sha256 " + sha256, sha256, nullptr};
}

void AddFile(FileForm form, const fs::path& path, const std::string& prefix, RunFacts run,
             Items& items) {
  switch (form) {
    case FileForm::kJson:
      return AddJson(ReadJsonObject(path), prefix, items);
    case FileForm::kSafetensors:
      return AddSafetensors(path, prefix, items);
    case FileForm::kPage:
      return AddPage(path, prefix, run, items);
    case FileForm::kHdf5:
      return AddHdf5(path, prefix, run, items);
    case FileForm::kOther:
      return AddBytes(path, prefix, items);
  }
}

// In a folder: files that this tool writes. What else lies there, such as a tokenizer, is not
// looked into: nobody says that a .json is an object, or JSON at all.
FileForm FormOfName(const fs::path& path) {
  const std::string name = path.filename().string();
  if (path.extension() == ".safetensors") return FileForm::kSafetensors;
  for (const char* ours : {"config.json", "plan.json", "report.json", "run.json"}) {
    if (name == ours) return FileForm::kJson;
  }
  for (const char* ours : {"stats.h5", "scales.h5", "report.h5"}) {
    if (name == ours) return FileForm::kHdf5;
  }
  return name == "report.html" ? FileForm::kPage : FileForm::kOther;
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// The tensors that a plan has in a file beside it, by their names and not that file's.
void AddTensorsOfPlan(const fs::path& path, Items& items) {
  const json plan = ReadJsonObject(path);
  const auto pointer = json::json_pointer("/tensors/file");
  if (!plan.contains(pointer) || !plan[pointer].is_string()) return;
  const fs::path file = plan[pointer].get<std::string>();
  items.erase("tensors/file");
  items.erase("tensors/sha256");
  AddSafetensors(path.parent_path() / file.filename(), "tensors/", items);
}

Items ItemsOfFile(const fs::path& path, RunFacts run) {
  Items items;
  const ArtifactKind kind = RecognizeArtifact(path);
  if (run == RunFacts::kIgnored && kind == ArtifactKind::kRun) return items;
  AddFile(FormOf(path), path, "", run, items);
  if (kind == ArtifactKind::kPlan) AddTensorsOfPlan(path, items);
  return items;
}

}  // namespace

Items ItemsOf(const fs::path& path, RunFacts run) {
  if (!fs::is_directory(path)) return ItemsOfFile(path, run);
  Items items;
  for (auto at = fs::recursive_directory_iterator(path); at != fs::end(at); ++at) {
    const fs::directory_entry& entry = *at;
    if (IsHidden(entry.path()) && entry.is_directory()) at.disable_recursion_pending();
    if (IsHidden(entry.path()) || !entry.is_regular_file()) continue;
    if (run == RunFacts::kIgnored && entry.path().filename() == "run.json") continue;
    AddFile(FormOfName(entry.path()), entry.path(),
            fs::relative(entry.path(), path).string() + ": ", run, items);
  }
  return items;
}

}  // namespace w8a8
