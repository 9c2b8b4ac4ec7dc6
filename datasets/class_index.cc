#include "datasets/class_index.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "datasets/imagenet_synsets.h"

namespace w8a8 {
namespace {

constexpr size_t kExact = 0, kKey = 1, kSpelling = 2, kSynonym = 3;  // in ClassIndex::ways_

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<uint8_t>(c) >= 0x80;
}

// Lower case, other runs of ASCII as one space: a file name cannot hold every letter of a name. The
// sign of a number stays.
std::string Spelling(std::string_view text) {
  std::string spelling;
  const bool negative = text.size() > 1 && text[0] == '-' && text[1] >= '0' && text[1] <= '9';
  if (negative) spelling += '-';
  bool gap = false;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!IsLetterOrDigit(c)) {
      gap = true;
      continue;
    }
    if (gap && !spelling.empty() && spelling != "-") spelling += ' ';
    gap = false;
    spelling += c;
  }
  return spelling;
}

std::vector<std::string_view> Synonyms(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(',');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "n02085620" of "n02085620-Chihuahua", as Stanford Dogs has it; else "".
std::string_view SynsetInFront(std::string_view text) {
  constexpr size_t kLength = 9;
  if (text.size() <= kLength || text[0] != 'n') return "";
  const bool digits = std::all_of(text.begin() + 1, text.begin() + kLength,
                                  [](char c) { return c >= '0' && c <= '9'; });
  return digits && !IsLetterOrDigit(text[kLength]) ? text.substr(0, kLength) : "";
}

// ImageNet's first two classes are the tench and the goldfish, however a config spells them.
bool CouldBeImageNet(int64_t classes, const std::vector<ClassName>& names) {
  if (classes != static_cast<int64_t>(kImageNetSynsets.size())) return false;
  const auto named = [&](int64_t index, std::string_view animal) {
    return std::any_of(names.begin(), names.end(), [&](const ClassName& name) {
      return name.index == index && Spelling(name.name).starts_with(animal);
    });
  };
  return std::all_of(names.begin(), names.end(), IsPlaceholder) ||
         (named(0, "tench") && named(1, "goldfish"));
}

}  // namespace

bool ParseClassNumber(std::string_view text, int64_t* number) {
  if (text.empty() || text.front() == '-') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

bool IsPlaceholder(const ClassName& name) {
  return name.name == fmt::format("LABEL_{}", name.index);
}

ClassIndex::ClassIndex(int64_t classes, const std::vector<ClassName>& names) : classes_(classes) {
  for (const ClassName& name : names) AddName(name);
  if (CouldBeImageNet(classes, names)) AddImageNet();
}

void ClassIndex::AddName(const ClassName& name) {
  const auto index = static_cast<int32_t>(name.index);
  named_ = named_ || !IsPlaceholder(name);
  names_.push_back(name.name);
  ways_[kExact][name.name].insert(index);
  if (!name.description.empty()) ways_[kKey][name.description].insert(index);
  for (const std::string& text : {name.name, name.description}) {
    if (const std::string whole = Spelling(text); !whole.empty()) {
      ways_[kSpelling][whole].insert(index);
    }
    for (const std::string_view synonym : Synonyms(text)) {
      if (const std::string one = Spelling(synonym); !one.empty()) {
        ways_[kSynonym][one].insert(index);
      }
    }
  }
}

void ClassIndex::AddImageNet() {
  for (size_t i = 0; i < kImageNetSynsets.size(); ++i) {
    ways_[kKey][fmt::format("n{:08}", kImageNetSynsets[i])].insert(static_cast<int32_t>(i));
  }
}

std::vector<int32_t> ClassIndex::Find(std::string_view text) const {
  for (size_t way = 0; way < kWays; ++way) {
    const bool spelt = way == kSpelling || way == kSynonym;
    const auto found = ways_[way].find(spelt ? Spelling(text) : std::string(text));
    if (found != ways_[way].end()) return {found->second.begin(), found->second.end()};
  }
  int64_t number = 0;
  if (!named_ && text.starts_with("LABEL_") && ParseClassNumber(text.substr(6), &number) &&
      number < classes_) {
    return {static_cast<int32_t>(number)};
  }
  const std::string_view synset = SynsetInFront(text);
  return synset.empty() ? std::vector<int32_t>{} : Find(synset);
}

}  // namespace w8a8
