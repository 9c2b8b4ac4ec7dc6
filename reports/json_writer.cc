#include "reports/json_writer.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "reports/describe.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

// Values of a report as JSON.
class Writer {
 public:
  explicit Writer(const Report& report) : report_(report) {}

  template <class Record>
  void AddMembers(const Record& record, Json& object) const;

  Json Value(bool value) const { return value; }
  Json Value(int value) const { return value; }
  Json Value(int64_t value) const { return value; }
  Json Value(uint64_t value) const { return value; }
  Json Value(double value) const { return std::isfinite(value) ? Json(value) : Json(nullptr); }
  Json Value(const std::string& text) const { return ValidUtf8(text); }
  Json Value(NamedEnum auto value) const { return NameOf(value); }
  Json Value(ArmRef arm) const { return Value(report_[arm].name); }
  Json Value(SiteRef site) const { return Value(report_[site]); }
  Json Value(const Facts& facts) const { return facts.json(); }

  Json Value(const Estimate& estimate) const {
    return std::isnan(estimate.value) ? Json(nullptr) : Object(estimate);
  }
  Json Value(const Described auto& record) const { return Object(record); }

  template <class T>
  Json Value(const std::optional<T>& value) const {
    return value ? Value(*value) : Json(nullptr);
  }
  template <class T>
  Json Value(const std::vector<T>& values) const {
    Json list = Json::array();
    for (const T& value : values) list.push_back(Value(value));
    return list;
  }
  template <class T>
  Json Value(const std::map<std::string, T>& values) const {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = Value(value);
    return object;
  }

 private:
  Json Object(const auto& record) const {
    Json object = Json::object();
    AddMembers(record, object);
    return object;
  }

  const Report& report_;
};

template <class T>
bool IsDefault(const T& value) {
  if constexpr (kIsOptional<T>) return !value;
  if constexpr (kIsList<T>) return value.empty();
  if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) return value == T{};
  return false;
}

template <class Record>
struct MemberWriter {
  const Writer& writer;
  const Record& record;
  Json& object;

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& traits = {}) {
    const T& value = record.*member;
    if (traits.presence == Presence::kUnlessDefault && IsDefault(value)) return;
    object[name] = writer.Value(value);
  }
  template <class T>
  void Inline(const char* /*name*/, T Record::*member) {
    writer.AddMembers(record.*member, object);
  }
};

template <class Record>
void Writer::AddMembers(const Record& record, Json& object) const {
  Describe<Record>(MemberWriter<Record>{*this, record, object});
}

// Facts come from anywhere; a text in them that is not UTF-8 must not stop the report.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Json ReportToJson(const Report& report) {
  Json json = {{"schema", kReportSchema}};
  Writer(report).AddMembers(report, json);
  return json;
}

Json RunToJson(const RunInfo& run) {
  const Report no_report;  // a run speaks of no arm and no site
  return Writer(no_report).Value(run);
}

std::string ReportJsonText(const Report& report) { return Dump(ReportToJson(report)); }

std::string RunJsonText(const RunInfo& run) { return Dump(RunToJson(run)); }

}  // namespace w8a8
