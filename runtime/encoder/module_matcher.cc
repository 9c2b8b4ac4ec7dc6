// compressed-tensors: github.com/vllm-project/compressed-tensors, utils/match.py.
#include "runtime/encoder/module_matcher.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using nlohmann::json;

constexpr size_t kLongest = 1000;

bool IsPattern(const std::string& target) { return target.starts_with("re:"); }

// "Linear", and vLLM's "ReplicatedLinear" and kin.
bool IsClassOfLinears(const std::string& target) {
  return !IsPattern(target) && target.find('.') == std::string::npos && target.ends_with("Linear");
}

bool IsClassOf(const StoredCodes& codes, const std::string& target) {
  return codes.convolution ? target.starts_with("Conv") : IsClassOfLinears(target);
}

std::vector<std::string> TextsOf(const json& object, const char* key) {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return texts;
  for (const json& text : *found) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

// Python's regular expressions have more after "(?" than ECMAScript's.
bool IsBroken(const std::regex_error& error, const std::string& pattern) {
  namespace codes = std::regex_constants;
  const bool open = error.code() == codes::error_brack || error.code() == codes::error_paren;
  return open && pattern.find("(?") == std::string::npos;
}

}  // namespace

int ModuleMatcher::Rank(const json& targeted, const std::string& module) {
  int rank = 2;
  for (const std::string& target : TextsOf(targeted, "targets")) {
    if (MatchesName(target, module)) return 0;
    if (IsClassOfLinears(target)) rank = 1;
  }
  return rank;
}

bool ModuleMatcher::MayTarget(const json& group, const StoredCodes& codes,
                              const std::string& file) {
  if (!group.contains("targets")) return true;
  bool may = false;
  for (const std::string& target : TextsOf(group, "targets")) {
    may = may || !IsReadable(target, file) || IsClassOf(codes, target) ||
          MatchesName(target, codes.module) || MatchesName(target, "model." + codes.module);
    for (size_t dot = codes.module.find('.'); !may && dot != std::string::npos;
         dot = codes.module.find('.', dot + 1)) {
      may = MatchesName(target, codes.module.substr(dot + 1));
    }
  }
  return may;
}

std::string ModuleMatcher::IgnoredBy(const json& record, const std::string& module,
                                     const std::string& file) {
  for (const std::string& target : TextsOf(record, "ignore")) {
    if (IsReadable(target, file) && (MatchesName(target, module) || IsClassOfLinears(target))) {
      return target;
    }
  }
  return "";
}

// Names of modules begin differently in files and in models.
bool ModuleMatcher::MatchesName(const std::string& target, const std::string& module) {
  if (IsPattern(target)) return MatchesPattern(target.substr(3), module);
  return target == module || module.ends_with("." + target) || target.ends_with("." + module);
}

// Python's re.match: anchored at the start.
bool ModuleMatcher::MatchesPattern(const std::string& pattern, const std::string& module) {
  const std::optional<std::regex>& regex = Compiled(pattern);
  return regex && module.size() <= kLongest &&
         std::regex_search(module, *regex, std::regex_constants::match_continuous);
}

bool ModuleMatcher::IsReadable(const std::string& target, const std::string& file) {
  if (!IsPattern(target)) return true;
  const std::string pattern = target.substr(3);
  if (Compiled(pattern)) return true;
  if (broken_[pattern]) {
    Fail("{}: '{}' of its quantization is not a regular expression; it may mean anything.", file,
         target);
  }
  return false;
}

const std::optional<std::regex>& ModuleMatcher::Compiled(const std::string& pattern) {
  const auto [entry, added] = patterns_.try_emplace(pattern);
  if (!added || pattern.size() > kLongest) return entry->second;
  try {
    // __polynomial: no backtracking, whose time a file from elsewhere could make endless.
    entry->second.emplace(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
  } catch (const std::regex_error& error) {
    entry->second.reset();
    broken_[pattern] = IsBroken(error, pattern);
  }
  return entry->second;
}

}  // namespace w8a8
