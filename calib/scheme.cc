#include "calib/scheme.h"

#include <charconv>
#include <vector>

#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

constexpr const char* kGrammar =
    "A scheme is w{2..8}a{8|16}[o8], then -g{G} for groups of weights, then -token, -token-g{G}, "
    "-token-asym, -tensor or -tensor-asym for the input, and -vllm for vLLM's weight codes";

template <class... Args>
[[noreturn]] void Refuse(std::string_view text, fmt::format_string<Args...> what, Args&&... args) {
  throw BadSetting(fmt::format("'{}': {}", text, fmt::format(what, std::forward<Args>(args)...)));
}

// "w8a8o8-g32-token" at its hyphens.
std::vector<std::string_view> Parts(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find('-', begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.npos) return parts;
    begin = end + 1;
  }
}

// Takes `word` from the front of `text`.
bool Take(std::string_view word, std::string_view* text) {
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

// The size in "g128"; nothing where the part is no group.
std::optional<int64_t> GroupSize(std::string_view text, std::string_view part) {
  if (!Take("g", &part)) return std::nullopt;
  int64_t size = 0;
  const char* end = part.data() + part.size();
  const auto [stop, error] = std::from_chars(part.data(), end, size);
  if (error != std::errc() || stop != end || size < 1 || size > kMaxInputs || part.front() == '0') {
    Refuse(text, "'g{}' is no group size; it is a number from 1 to {}, as in g128.", part,
           kMaxInputs);
  }
  return size;
}

// "w4a8o8": bits of weights, inputs and outputs.
Scheme ParseBits(std::string_view text, std::string_view bits) {
  Scheme scheme;
  std::string_view rest = bits;
  const bool weight = Take("w", &rest) && !rest.empty() && rest[0] >= '2' && rest[0] <= '8';
  if (!weight) Refuse(text, "does not begin with w2 to w8. {}.", kGrammar);
  scheme.weight_bits = rest[0] - '0';
  rest.remove_prefix(1);
  if (Take("a16", &rest)) {
    scheme.input.reset();
  } else if (!Take("a8", &rest)) {
    Refuse(text, "inputs are a8 (INT8) or a16 (they stay FP16). {}.", kGrammar);
  }
  scheme.output = Take("o8", &rest);
  if (!rest.empty()) Refuse(text, "'{}' is unknown in '{}'. {}.", rest, bits, kGrammar);
  if (scheme.input && scheme.output) scheme.input = Granularity::kTensor;
  return scheme;
}

using Part = std::vector<std::string_view>::const_iterator;

// The input's word and what belongs to it, from `at` to `end`.
void ParseInput(std::string_view text, Part at, Part end, Scheme* scheme) {
  const bool token = *at == "token";
  if (!token && *at != "tensor") Refuse(text, "'{}' is unknown. {}.", *at, kGrammar);
  if (!scheme->input) {
    Refuse(text, "a16 leaves the inputs in FP16, so '{}' says nothing. Leave it out.", *at);
  }
  scheme->input = token ? Granularity::kToken : Granularity::kTensor;
  for (++at; at != end; ++at) {
    if (*at == "asym" && scheme->symmetric) {
      scheme->symmetric = false;
      continue;
    }
    const std::optional<int64_t> group = GroupSize(text, *at);
    if (!group || scheme->input_group > 0) Refuse(text, "'{}' is unknown. {}.", *at, kGrammar);
    if (!token) {
      Refuse(text, "inputs in groups are dynamic; 'tensor' is one static scale. Take token-{}.",
             *at);
    }
    scheme->input = Granularity::kGroup;
    scheme->input_group = *group;
  }
  if (scheme->input == Granularity::kGroup && !scheme->symmetric) {
    Refuse(text, "inputs in groups have no zero point. Leave asym or the group out.");
  }
}

void ParseWeightAndInput(std::string_view text, Part at, Part end, Scheme* scheme) {
  if (const std::optional<int64_t> group = GroupSize(text, *at)) {
    scheme->weight_group = *group;
    ++at;
  }
  if (at != end) ParseInput(text, at, end, scheme);
}

std::string WeightText(const Scheme& scheme) {
  const std::string strategy =
      scheme.weight_group > 0 ? fmt::format("group {}", scheme.weight_group) : "channel";
  return fmt::format("weights int{} {} symmetric", scheme.weight_bits, strategy);
}

std::string InputText(const Scheme& scheme) {
  if (!scheme.input) return "";
  const bool fixed = scheme.NeedsInputStatistics();
  const std::string strategy = scheme.input_group > 0 ? fmt::format("group {}", scheme.input_group)
                               : fixed                ? "tensor"
                                                      : "token";
  return fmt::format("; input_activations int8 {} {} {}", strategy, fixed ? "static" : "dynamic",
                     scheme.symmetric ? "symmetric" : "asymmetric");
}

// Without the convention.
std::string BaseName(const Scheme& scheme) {
  std::string name = fmt::format("w{}a{}", scheme.weight_bits, scheme.input ? 8 : 16);
  if (scheme.output) name += "o8";
  if (scheme.weight_group > 0) name += fmt::format("-g{}", scheme.weight_group);
  if (!scheme.input) return name;
  const Granularity implied = scheme.output ? Granularity::kTensor : Granularity::kToken;
  const bool bare = scheme.input == implied && scheme.symmetric;
  if (bare && (scheme.output || scheme.weight_group > 0)) return name;
  name += scheme.NeedsInputStatistics() ? "-tensor" : "-token";
  if (scheme.input == Granularity::kGroup) name += fmt::format("-g{}", scheme.input_group);
  return scheme.symmetric ? name : name + "-asym";
}

}  // namespace

Scheme ParseScheme(std::string_view text) {
  constexpr size_t kLongest = 64;  // "w8a8o8-g131071-token-g131071" has 28
  if (text.size() > kLongest) {
    Refuse(text.substr(0, kLongest), "and {} characters more. {}.", text.size() - kLongest,
           kGrammar);
  }
  std::vector<std::string_view> parts = Parts(text);
  Scheme scheme = ParseBits(text, parts.front());
  if (parts.size() > 1 && parts.back() == "vllm") {
    scheme.convention = WeightConvention::kVllm;
    parts.pop_back();
  }
  Part at = parts.begin() + 1;
  if (at != parts.end()) ParseWeightAndInput(text, at, parts.end(), &scheme);
  const bool channels_of_8_bits = scheme.weight_bits == 8 && scheme.weight_group == 0;
  if (scheme.convention == WeightConvention::kVllm && !channels_of_8_bits) {
    Refuse(text, "vLLM's online INT8 makes weights of 8 bits with one scale a row: w8, no groups.");
  }
  return scheme;
}

std::string SchemeName(const Scheme& scheme) {
  const bool vllm = scheme.convention == WeightConvention::kVllm;
  return BaseName(scheme) + (vllm ? "-vllm" : "");
}

SitePlan SitePlanOf(const Scheme& scheme) {
  SitePlan plan;
  plan.weight->num_bits = scheme.weight_bits;
  plan.weight->convention = scheme.convention;
  if (scheme.weight_group > 0) {
    plan.weight->granularity = Granularity::kGroup;
    plan.weight->group_size = scheme.weight_group;
  }
  plan.input.reset();
  if (scheme.input) {
    plan.input = {.granularity = *scheme.input,
                  .symmetric = scheme.symmetric,
                  .group_size = scheme.input_group};
  }
  if (scheme.output) plan.output = Quantizer::Static(0.0f);
  return plan;
}

std::string CompressedTensorsText(const Scheme& scheme) {
  const char* output = scheme.output ? "; output_activations int8 tensor static symmetric" : "";
  return WeightText(scheme) + InputText(scheme) + output;
}

}  // namespace w8a8
