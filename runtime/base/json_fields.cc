#include "runtime/base/json_fields.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/json_nonfinite.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// Watches a text while it is parsed.
template <class Json>
class ParseGuard {
 public:
  ParseGuard(const std::string& name, DoubledKeys doubled) : name_(name), doubled_(doubled) {}

  bool operator()(int depth, typename Json::parse_event_t event, Json& parsed) {
    constexpr int kDeepest = 64;
    using Event = typename Json::parse_event_t;
    if (event == Event::value && parsed.is_string()) {
      const auto marked = ValueOfMark(parsed.template get_ref<const std::string&>());
      if (marked) parsed = static_cast<typename Json::number_float_t>(*marked);
    }
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kDeepest) {
      Fail("{}: its JSON nests deeper than {} levels, which no file of this kind does.", name_,
           kDeepest);
    }
    if (doubled_ == DoubledKeys::kLastCounts) return true;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        Fail("{}: '{}' stands twice in one object. Keep one of them.", name_, key.substr(0, 64));
      }
    }
    return true;
  }

 private:
  const std::string& name_;
  DoubledKeys doubled_;
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

bool IsNonFinite(const auto& value) {
  return value.is_number_float() && !std::isfinite(value.template get<double>());
}

template <class Json>
void MarkValues(Json& value) {
  if (value.is_structured()) {
    for (Json& element : value) MarkValues(element);
  } else if (IsNonFinite(value)) {
    value = NonFiniteMark(value.template get<double>());
  }
}

template <class Json>
bool FitsInt64(const Json& value) {
  if (!value.is_number_integer()) return false;
  return !value.is_number_unsigned() ||
         value.template get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
}

}  // namespace

template <class Json>
Json ParseJson(std::string_view text, const std::string& name, DoubledKeys doubled) {
  try {
    const std::string marked = HasNonFinite(text) ? MarkNonFinite(text) : "";
    if (!marked.empty()) text = marked;
    return Json::parse(text.begin(), text.end(), ParseGuard<Json>(name, doubled));
  } catch (const typename Json::exception& problem) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: …" without its label.
    const std::string_view what = problem.what();
    const size_t label = what.find("] ");
    Fail("{}: not valid JSON: {}", name, label == what.npos ? what : what.substr(label + 2));
  }
}

template <class Json>
Json ReadJsonObject(const std::filesystem::path& path, size_t max_bytes) {
  Json parsed = ParseJson<Json>(ReadFile(path, max_bytes), path.string());
  if (!parsed.is_object()) Fail("{}: expected a JSON object at the top level.", path.string());
  return parsed;
}

template <class Json>
std::string JsonText(const Json& value, int indent) {
  Json marked = value;
  MarkValues(marked);
  return UnmarkNonFinite(marked.dump(indent, ' ', false, Json::error_handler_t::replace));
}

template <class Json>
void JsonView<Json>::Refuse(const std::string& wanted) const {
  std::string value = JsonText(*value_);
  if (value.size() > 60) value = value.substr(0, 60) + "...";
  const std::string subject = place_.empty() ? file_ : fmt::format("{}: '{}'", file_, place_);
  Fail("{} is {}; expected {}.", subject, value, wanted);
}

template <class Json>
JsonView<Json> JsonView<Json>::Member(const std::string& key, const Json& value) const {
  return {value, file_, place_.empty() ? key : place_ + "." + key};
}

template <class Json>
std::optional<JsonView<Json>> JsonView<Json>::Find(const char* key) const {
  if (!value_->is_object()) Refuse("an object");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return Member(key, *found);
}

template <class Json>
JsonView<Json> JsonView<Json>::At(const char* key) const {
  if (!value_->is_object()) Refuse("an object");
  const auto found = value_->find(key);
  if (found == value_->end()) {
    Fail("{}: '{}' is missing.", file_, Member(key, *value_).place());
  }
  return Member(key, *found);
}

template <class Json>
std::optional<JsonView<Json>> JsonView<Json>::Object(const char* key) const {
  std::optional<JsonView> member = Find(key);
  if (member && !member->raw().is_object()) member->Refuse("an object");
  return member;
}

template <class Json>
void JsonView<Json>::AllowOnly(std::initializer_list<const char*> keys) const {
  const std::vector<std::string> known(keys.begin(), keys.end());
  for (const auto& [key, member] : Members()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string shown = key.substr(0, 64);
    Fail("{} has an unknown field '{}'.{}", file_, shown, DidYouMean(shown, known));
  }
}

template <class Json>
std::vector<JsonView<Json>> JsonView<Json>::Elements() const {
  if (!value_->is_array()) Refuse("a list");
  std::vector<JsonView> elements;
  for (size_t i = 0; i < value_->size(); ++i) {
    elements.push_back({(*value_)[i], file_, fmt::format("{}[{}]", place_, i)});
  }
  return elements;
}

template <class Json>
std::vector<std::pair<std::string, JsonView<Json>>> JsonView<Json>::Members() const {
  if (!value_->is_object()) Refuse("an object");
  std::vector<std::pair<std::string, JsonView>> members;
  for (const auto& [key, value] : value_->items()) members.emplace_back(key, Member(key, value));
  return members;
}

template <class Json>
bool JsonView<Json>::Bool() const {
  if (!value_->is_boolean()) Refuse("true or false");
  return value_->template get<bool>();
}

template <class Json>
std::string JsonView<Json>::Text() const {
  if (!value_->is_string()) Refuse("a string");
  return value_->template get<std::string>();
}

template <class Json>
double JsonView<Json>::Number() const {
  if (!value_->is_number()) Refuse("a number");
  if (IsNonFinite(*value_)) Refuse("a finite number");
  return value_->template get<double>();
}

template <class Json>
int64_t JsonView<Json>::Int(int64_t minimum, int64_t maximum) const {
  const int64_t number = FitsInt64(*value_) ? value_->template get<int64_t>() : minimum;
  if (!FitsInt64(*value_) || number < minimum || number > maximum) {
    Refuse(fmt::format("a whole number from {} to {}", minimum, maximum));
  }
  return number;
}

template <class Json>
uint64_t JsonView<Json>::Count() const {
  if (!value_->is_number_unsigned()) Refuse("a count");
  return value_->template get<uint64_t>();
}

template <class Json>
bool JsonView<Json>::Bool(const char* key, bool fallback) const {
  const std::optional<JsonView> member = Find(key);
  return member ? member->Bool() : fallback;
}

template <class Json>
std::string JsonView<Json>::Text(const char* key, const std::string& fallback) const {
  const std::optional<JsonView> member = Find(key);
  return member ? member->Text() : fallback;
}

template <class Json>
double JsonView<Json>::Number(const char* key, double fallback) const {
  const std::optional<JsonView> member = Find(key);
  return member ? member->Number() : fallback;
}

template <class Json>
int64_t JsonView<Json>::Int(const char* key, int64_t fallback, int64_t minimum,
                            int64_t maximum) const {
  const std::optional<JsonView> member = Find(key);
  return member ? member->Int(minimum, maximum) : fallback;
}

template <class Json>
std::pair<int64_t, int64_t> JsonView<Json>::Sides(const char* key, int64_t fallback,
                                                  int64_t maximum) const {
  const std::optional<JsonView> member = Find(key);
  if (!member || !member->raw().is_array()) {
    const int64_t side = Int(key, fallback, 1, maximum);
    return {side, side};
  }
  const auto fits = [maximum](const Json& side) {
    return FitsInt64(side) && side.template get<int64_t>() >= 1 &&
           side.template get<int64_t>() <= maximum;
  };
  const Json& sides = member->raw();
  if (sides.size() != 2 || !fits(sides[0]) || !fits(sides[1])) {
    member->Refuse(fmt::format("a number or [height, width], each from 1 to {}", maximum));
  }
  return {sides[0].template get<int64_t>(), sides[1].template get<int64_t>()};
}

#define W8A8_JSON(Json)                                                             \
  template Json ParseJson<Json>(std::string_view, const std::string&, DoubledKeys); \
  template Json ReadJsonObject<Json>(const std::filesystem::path&, size_t);         \
  template std::string JsonText<Json>(const Json&, int);                            \
  template class JsonView<Json>;
W8A8_JSON(nlohmann::json)
W8A8_JSON(nlohmann::ordered_json)
W8A8_JSON(FloatJson)
#undef W8A8_JSON

}  // namespace w8a8
