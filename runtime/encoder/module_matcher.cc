// compressed-tensors: github.com/vllm-project/compressed-tensors, utils/match.py.
#include "runtime/encoder/module_matcher.h"

#include <algorithm>
#include <vector>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr size_t kLongest = 1000;

bool IsPattern(const std::string& target) { return target.starts_with("re:"); }

// "Linear", and vLLM's "ReplicatedLinear" and kin.
bool IsClassOfLinears(const std::string& target) {
  return !IsPattern(target) && target.find('.') == std::string::npos && target.ends_with("Linear");
}

bool IsClassOf(const StoredCodes& codes, const std::string& target) {
  return codes.convolution ? target.starts_with("Conv") : IsClassOfLinears(target);
}

std::vector<std::string> TextsOf(const JsonFields& object, const char* key) {
  std::vector<std::string> texts;
  const std::optional<JsonFields> list = object.Find(key);
  if (!list) return texts;
  for (const JsonFields& text : list->Elements()) texts.push_back(text.Text());
  return texts;
}

// Python's regular expressions have more after "(?" than ECMAScript's.
bool IsBroken(const std::regex_error& error, const std::string& pattern) {
  namespace codes = std::regex_constants;
  const bool open = error.code() == codes::error_brack || error.code() == codes::error_paren;
  return open && pattern.find("(?") == std::string::npos;
}

}  // namespace

bool IsTooLong(const std::string& pattern) {
  size_t length = pattern.size();
  for (size_t at = 0; (at = pattern.find('{', at)) != pattern.npos && length <= kLongest;) {
    size_t most = 1, count = 0;
    for (++at; at < pattern.size() && pattern[at] != '}'; ++at) {
      const char c = pattern[at];
      const bool digit = c >= '0' && c <= '9';
      count = digit ? std::min(kLongest + 1, 10 * count + static_cast<size_t>(c - '0')) : 0;
      most = std::max(most, count);
    }
    length *= most;
  }
  return length > kLongest;
}

int ModuleMatcher::Rank(const JsonFields& targeted, const std::string& module) {
  int rank = 2;
  for (const std::string& target : TextsOf(targeted, "targets")) {
    if (MatchesName(target, module)) return 0;
    if (IsClassOfLinears(target)) rank = 1;
  }
  return rank;
}

bool ModuleMatcher::MayTarget(const JsonFields& group, const StoredCodes& codes) {
  if (!group.Has("targets")) return true;
  bool may = false;
  for (const std::string& target : TextsOf(group, "targets")) {
    may = may || !IsReadable(target, group.file()) || IsClassOf(codes, target) ||
          MatchesName(target, codes.module) || MatchesName(target, "model." + codes.module);
    for (size_t dot = codes.module.find('.'); !may && dot != std::string::npos;
         dot = codes.module.find('.', dot + 1)) {
      may = MatchesName(target, codes.module.substr(dot + 1));
    }
  }
  return may;
}

std::string ModuleMatcher::IgnoredBy(const JsonFields& record, const std::string& module) {
  for (const std::string& target : TextsOf(record, "ignore")) {
    if (IsReadable(target, record.file()) &&
        (MatchesName(target, module) || IsClassOfLinears(target))) {
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
  if (!added || IsTooLong(pattern)) return entry->second;
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
