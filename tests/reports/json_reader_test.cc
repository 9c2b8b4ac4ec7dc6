#include "reports/json_reader.h"

#include <string>

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "reports/card_file.h"
#include "reports/hdf5_writer.h"
#include "reports/html_writer.h"
#include "reports/json_writer.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "tests/reports/sample_report.h"
#include "tests/support/environment.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

TEST(JsonReader, WhatIsReadIsWrittenAgainWithEqualBytes) {
  const fs::path folder = test::ScratchFolder("json_reader");
  const Report report = test::SampleReport(3);
  WriteFileAtomically(folder / "report.json", ReportJsonText(report));
  WriteFileAtomically(folder / "run.json", RunJsonText(test::SampleRun()));
  WriteReportHdf5(folder / "report.h5", report, test::SampleRun());
  Report read = ReadReportJson(folder / "report.json");
  ReadCards(folder / "report.h5", read);
  const RunInfo run = ReadRunJson(folder / "run.json");
  EXPECT_EQ(ReportJsonText(read), ReportJsonText(report));
  EXPECT_EQ(RunJsonText(run), RunJsonText(test::SampleRun()));
  EXPECT_EQ(ReportHtml(read, run), ReportHtml(report, test::SampleRun()));
}

std::string MessageFor(const std::string& text) {
  const fs::path path = test::ScratchFolder("json_reader_errors") / "report.json";
  WriteFileAtomically(path, text);
  try {
    ReadReportJson(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(JsonReader, NamesTheMemberThatIsWrong) {
  const auto broken = [](const auto& change) {
    nlohmann::ordered_json json = ReportToJson(test::SampleReport(1));
    change(json);
    return MessageFor(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
  const auto expect = [](const std::string& message, const std::string& part) {
    EXPECT_NE(message.find("report.json"), std::string::npos) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect(broken([](auto& json) { json["arms"][3].erase("chosen"); }),
         "'arms[3].chosen' is missing");
  expect(broken([](auto& json) { json["sites"][1]["cosine"] = "high"; }),
         "'sites[1].cosine' is \"high\"");
  expect(broken([](auto& json) { json["checks"]["int32_compared"] = -1; }), "a count");
  expect(broken([](auto& json) { json["health"] = 3; }), "a list");
  expect(broken([](auto& json) { json["sites"][2]["arm"] = "int8/other"; }),
         "'sites[2].arm' is \"int8/other\"; expected the name of one of the arms");
  expect(broken([](auto& json) { json["arms"][0]["precision"] = "fp64"; }),
         "expected fp16, fake, emulated or int8");
  expect(broken([](auto& json) { json["schema"] = "other/9"; }), "other/9");
}

TEST(JsonReader, RefusesAFileThatIsCutShort) {
  const std::string whole = ReportJsonText(test::SampleReport(1));
  for (size_t length = 0; length + 2 < whole.size(); length += 997) {
    EXPECT_NE(MessageFor(whole.substr(0, length)), "") << length;
  }
}

}  // namespace
}  // namespace w8a8
