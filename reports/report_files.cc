#include "reports/report_files.h"

#include "reports/hdf5_writer.h"
#include "reports/html_writer.h"
#include "reports/json_writer.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/file_group.h"

namespace w8a8 {

void WriteReportFiles(const std::filesystem::path& folder, const Report& report,
                      const RunInfo& run) {
  FileGroup files;
  WriteFileAtomically(folder / "report.json", ReportJsonText(report));
  WriteFileAtomically(folder / "run.json", RunJsonText(run));
  WriteReportHdf5(folder / "report.h5", report, run);
  WriteFileAtomically(folder / "report.html", ReportHtml(report, run));
  files.Commit();
}

}  // namespace w8a8
