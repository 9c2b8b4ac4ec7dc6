#include "runtime/base/json_fields.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/base/json_depth.h"

namespace w8a8 {

using nlohmann::json;

json ReadJsonObject(const std::filesystem::path& path) {
  const std::string text = ReadJsonText(path);
  try {
    json parsed = json::parse(text);
    if (!parsed.is_object()) Fail("{}: expected a JSON object at the top level.", path.string());
    return parsed;
  } catch (const json::exception& problem) {
    Fail("{}: not valid JSON: {}", path.string(), problem.what());
  }
}

JsonFields::JsonFields(const json& object, std::filesystem::path file, std::string where)
    : object_(&object), file_(std::move(file)), where_(std::move(where)) {
  if (!object.is_object()) {
    Fail("{}: '{}' is not an object.", file_.string(), where_.empty() ? "config" : where_);
  }
}

const json* JsonFields::Find(const char* key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::WrongType(const char* key, const char* wanted) const {
  std::string value = object_->at(key).dump(-1, ' ', false, json::error_handler_t::replace);
  if (value.size() > 60) value = value.substr(0, 60) + "...";
  Fail("{}: '{}{}' is {}; expected {}.", file_.string(), where_, key, value, wanted);
}

bool JsonFields::Has(const char* key) const { return Find(key) != nullptr; }

int64_t JsonFields::Int(const char* key, int64_t fallback, int64_t minimum, int64_t maximum) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  const std::string wanted = fmt::format("a whole number from {} to {}", minimum, maximum);
  if (!value->is_number_integer()) WrongType(key, wanted.c_str());
  // An unsigned value above the signed range would wrap.
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    WrongType(key, wanted.c_str());
  }
  const int64_t number = value->get<int64_t>();
  if (number < minimum || number > maximum) WrongType(key, wanted.c_str());
  return number;
}

std::pair<int64_t, int64_t> JsonFields::Sides(const char* key, int64_t fallback,
                                              int64_t maximum) const {
  const json* value = Find(key);
  if (value == nullptr || !value->is_array()) {
    const int64_t side = Int(key, fallback, 1, maximum);
    return {side, side};
  }
  const auto fits = [maximum](const json& side) {
    return side.is_number_unsigned() && side.get<uint64_t>() >= 1 &&
           side.get<uint64_t>() <= static_cast<uint64_t>(maximum);
  };
  if (value->size() != 2 || !fits((*value)[0]) || !fits((*value)[1])) {
    WrongType(key, fmt::format("a number or [height, width], each from 1 to {}", maximum).c_str());
  }
  return {(*value)[0].get<int64_t>(), (*value)[1].get<int64_t>()};
}

double JsonFields::Number(const char* key, double fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) WrongType(key, "a number");
  return value->get<double>();
}

bool JsonFields::Bool(const char* key, bool fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) WrongType(key, "true or false");
  return value->get<bool>();
}

std::string JsonFields::Text(const char* key, const std::string& fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) WrongType(key, "a string");
  return value->get<std::string>();
}

std::optional<JsonFields> JsonFields::Object(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) WrongType(key, "an object");
  return JsonFields(*value, file_, where_ + key + ".");
}

}  // namespace w8a8
