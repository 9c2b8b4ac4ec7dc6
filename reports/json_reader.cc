#include "reports/json_reader.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "reports/describe.h"
#include "reports/json_writer.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;
using Value = JsonView<Json>;

// A report of 10,000 sites takes some 20 MB.
constexpr size_t kMaxReportBytes = size_t{512} << 20;

// JSON into the values of a report. Arms are known before anything speaks of them; sites become
// known as they are met.
class Reader {
 public:
  Reader(std::map<std::string, ArmRef> arms, SiteNames& sites)
      : arms_(std::move(arms)), sites_(sites) {}

  template <class Record>
  void ReadMembers(const Value& object, Record& record);

  void Read(const Value& json, bool& value) { value = json.Bool(); }
  void Read(const Value& json, std::string& value) { value = json.Text(); }
  void Read(const Value& json, uint64_t& value) { value = json.Count(); }
  template <std::signed_integral T>
  void Read(const Value& json, T& value) {
    using Limits = std::numeric_limits<T>;
    value = static_cast<T>(json.Int(Limits::min(), Limits::max()));
  }
  void Read(const Value& json, double& value) {
    value = json.raw().is_null() ? kUndefined : json.Number();
  }
  template <NamedEnum E>
  void Read(const Value& json, E& value) {
    const std::optional<E> named = FromName<E>(json.Text());
    if (!named) json.Refuse(NamesText<E>());
    value = *named;
  }
  void Read(const Value& json, ArmRef& arm) {
    const auto named = arms_.find(json.Text());
    if (named == arms_.end()) json.Refuse("the name of one of the arms");
    arm = named->second;
  }
  void Read(const Value& json, SiteRef& site) { site = sites_.Add(json.Text()); }
  void Read(const Value& json, Facts& facts) {
    if (!json.raw().is_object()) json.Refuse("an object");
    facts = Facts(json.raw());
  }
  void Read(const Value& json, Estimate& estimate) {
    if (!json.raw().is_null()) ReadMembers(json, estimate);
  }
  void Read(const Value& json, Described auto& record) { ReadMembers(json, record); }
  template <class T>
  void Read(const Value& json, std::optional<T>& value) {
    if (!json.raw().is_null()) Read(json, value.emplace());
  }
  template <class T>
  void Read(const Value& json, std::vector<T>& values) {
    for (const Value& element : json.Elements()) Read(element, values.emplace_back());
  }
  template <class T>
  void Read(const Value& json, std::map<std::string, T>& values) {
    for (const auto& [name, member] : json.Members()) Read(member, values[name]);
  }

 private:
  std::map<std::string, ArmRef> arms_;
  SiteNames& sites_;
};

template <class Record>
struct MemberReader {
  Reader& reader;
  const Value& object;
  Record& record;

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& traits = {}) {
    const bool may_lack = kIsOptional<T> || traits.presence != Presence::kAlways;
    if (may_lack && !object.raw().contains(name)) return;
    reader.Read(object.At(name), record.*member);
  }
  template <class T>
  void Inline(const char* /*name*/, T Record::*member) {
    reader.ReadMembers(object, record.*member);
  }
};

template <class Record>
void Reader::ReadMembers(const Value& object, Record& record) {
  Describe<Record>(MemberReader<Record>{*this, object, record});
}

std::map<std::string, ArmRef> ArmNames(const Value& arms) {
  std::map<std::string, ArmRef> names;
  for (const Value& arm : arms.Elements()) {
    names.emplace(arm.At("name").Text(), ArmRef{names.size()});
  }
  return names;
}

}  // namespace

Report ReadReportJson(const std::filesystem::path& path) {
  const Json json = ReadJsonObject<Json>(path, kMaxReportBytes);
  const Value root(json, path, "");
  if (const std::string schema = root.At("schema").Text(); schema != kReportSchema) {
    Fail("{}: has the schema '{}'; this program reads '{}'.", path.string(), schema, kReportSchema);
  }
  Report report;
  Reader(ArmNames(root.At("arms")), report.site_names).ReadMembers(root, report);
  return report;
}

RunInfo ReadRunJson(const std::filesystem::path& path) {
  const Json json = ReadJsonObject<Json>(path, kMaxReportBytes);
  RunInfo run;
  SiteNames no_sites;
  Reader({}, no_sites).ReadMembers(Value(json, path, ""), run);
  return run;
}

}  // namespace w8a8
