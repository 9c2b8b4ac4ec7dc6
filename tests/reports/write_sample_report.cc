// write_sample_report FOLDER [BLOCKS]: the sample report as report.{json,h5,html} and run.json, and
// once more as other_run.h5 with other run-dependent facts.
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "reports/report_files.h"
#include "tests/reports/sample_report.h"

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    fmt::print(stderr, "usage: write_sample_report FOLDER [BLOCKS]\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const w8a8::Report report = w8a8::test::SampleReport(argc == 3 ? std::stoi(argv[2]) : 12);
  w8a8::RunInfo other;
  other.command = "another run";
  for (const auto& [name, run] : {std::pair("one", w8a8::test::SampleRun()), {"two", other}}) {
    std::filesystem::create_directories(folder / name);
    w8a8::WriteReportFiles(folder / name, report, run);
  }
  return 0;
}
