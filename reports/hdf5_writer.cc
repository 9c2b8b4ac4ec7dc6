#include "reports/hdf5_writer.h"

#include <nlohmann/json.hpp>

#include "reports/card_file.h"
#include "reports/hdf5_records.h"
#include "reports/json_writer.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

// What a point of the sweep is plotted by.
struct SweepPoint {
  ArmRef arm;
  Precision precision;
  std::optional<InputScaling> granularity;
  std::optional<double> clip_range;
  std::string output;
  Estimate sqnr_db, cosine_mean;
  std::optional<Estimate> top1, agreement;
};

template <class Field>
void DescribeMembers(Field& field, const SweepPoint*) {
  using R = SweepPoint;
  field("arm", &R::arm);
  field("precision", &R::precision);
  field("granularity", &R::granularity);
  field("clip_range", &R::clip_range, {.none = [](const R&) { return HUGE_VAL; }});
  field("output", &R::output);
  field("sqnr_db", &R::sqnr_db);
  field("cosine_mean", &R::cosine_mean);
  field("top1", &R::top1);
  field("agreement", &R::agreement);
}

void WriteSweep(Hdf5OutputFile& file, const Report& report) {
  const std::string output = MainOutput(report);
  std::vector<SweepPoint> points;
  for (const SweepCurve& curve : SweepCurves(report)) {
    for (const ArmRef ref : curve.arms) {
      const ArmReport& arm = report[ref];
      const OutputErrors* errors = ErrorsOf(arm, output);
      points.push_back({.arm = ref,
                        .precision = arm.precision,
                        .granularity = arm.granularity,
                        .clip_range = arm.clip_range,
                        .output = output,
                        .sqnr_db = errors ? errors->sqnr_db : Estimate{},
                        .cosine_mean = errors ? errors->cosine_mean : Estimate{},
                        .top1 = arm.top1,
                        .agreement = arm.agreement});
    }
  }
  WriteHdf5Table(file, report, "/sweep", points);
}

void WriteObject(Hdf5OutputFile& file, const std::string& group, const Json& object) {
  file.Group(group);
  for (const auto& [key, value] : object.items()) {
    const std::string name = Hdf5ObjectName(key);
    if (value.is_object()) {
      WriteObject(file, group + "/" + name, value);
    } else if (value.is_string()) {
      file.Attribute(group, name, ValidUtf8(value.get_ref<const std::string&>()));
    } else if (value.is_number_integer() && value >= 0) {  // one type, whatever C++ type it had
      file.Attribute(group, name, value.get<uint64_t>());
    } else if (value.is_number_integer()) {
      file.Attribute(group, name, value.get<int64_t>());
    } else if (value.is_number_float()) {
      file.Attribute(group, name, value.get<double>());
    } else {  // true, false, null and lists as JSON
      file.Attribute(group, name,
                     ValidUtf8(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
  }
}

}  // namespace

void WriteHdf5Facts(Hdf5OutputFile& file, const std::string& group, const Facts& facts) {
  WriteObject(file, group, facts.json());
}

void WriteReportHdf5(const std::filesystem::path& path, const Report& report, const RunInfo& run) {
  Hdf5OutputFile file(path);
  file.Attribute("/", "schema", kReportSchema);
  WriteHdf5Group(file, report, "/", report);
  WriteSweep(file, report);
  WriteCards(file, report);
  WriteHdf5Group(file, report, "/run", run);
  file.Commit();
}

}  // namespace w8a8
