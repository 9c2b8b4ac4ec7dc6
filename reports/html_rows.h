// Cells and rows of the page's tables, made from the described members of a record.
#pragma once

#include <cmath>
#include <concepts>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "reports/describe.h"
#include "reports/html_tables.h"

namespace w8a8::html {

using Format = std::string (*)(double);
using List = kainjow::mustache::list;

inline Data Cell(const std::string& text, double sort_by) {
  Data cell;
  cell.set("t", text);
  cell.set("v", std::isfinite(sort_by) ? fmt::format("{:.9g}", sort_by)
                                       : std::string(sort_by > 0 ? "1e999" : ""));
  return cell;
}

inline Data Cell(double value, Format format) { return Cell(format(value), value); }

// `value` and `interval` are the two halves of `t`.
inline Data Cell(const Estimate& estimate, Format format) {
  Data cell = Cell(FormatEstimate(estimate, format), estimate.value);
  cell.set("value", format(estimate.value));
  const bool bounded = std::isfinite(estimate.low) || std::isfinite(estimate.high);
  cell.set("interval",
           bounded ? fmt::format("[{}, {}]", format(estimate.low), format(estimate.high)) : "");
  return cell;
}

// A word in the place of an estimate that sorts above every number.
inline Data Word(const std::string& word) {
  Data cell = Cell(word, HUGE_VAL);
  cell.set("value", word);
  cell.set("interval", "");
  return cell;
}

// Sets the members of a row of the page's data from those of a record: words as they are, numbers
// as cells in the form of their description.
template <class Record>
class RowMembers {
 public:
  RowMembers(const Report& report, const Record& record, Data& row)
      : report_(report), record_(record), row_(row) {}

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& traits = {}) {
    Set(name, record_.*member, traits.shown);
  }
  template <class T>
  void Inline(const char* /*name*/, T Record::*member) {
    Describe<T>(RowMembers<T>(report_, record_.*member, row_));
  }

 private:
  void Set(const char* name, const std::string& text, Format) { row_.set(name, Shown(text)); }
  void Set(const char* name, NamedEnum auto value, Format) {
    row_.set(name, std::string(NameOf(value)));
  }
  void Set(const char* name, ArmRef arm, Format) { row_.set(name, Shown(report_[arm].name)); }
  void Set(const char* name, SiteRef site, Format) { row_.set(name, Shown(report_[site])); }
  void Set(const char* name, bool value, Format) { row_.set(name, value); }
  void Set(const char* name, std::signed_integral auto value, Format) {
    row_.set(name, fmt::format("{}", value));
  }
  void Set(const char* name, uint64_t value, Format) {
    row_.set(name, Cell(FormatCount(value), static_cast<double>(value)));
  }
  void Set(const char* name, double value, Format shown) { row_.set(name, Cell(value, shown)); }
  void Set(const char* name, const Estimate& value, Format shown) {
    row_.set(name, Cell(value, shown));
  }
  template <class T>
  void Set(const char* name, const std::optional<T>& value, Format shown) {
    if constexpr (std::is_same_v<T, double>) return Set(name, value.value_or(kUndefined), shown);
    if constexpr (std::is_same_v<T, Estimate>) return Set(name, value.value_or(T{}), shown);
    if (value) Set(name, *value, shown);
  }
  template <class T>
  requires(Described<T> || kIsList<T> || kIsMap<T>) void Set(const char* /*name*/,
                                                             const T& /*no cell*/, Format) {}

  const Report& report_;
  const Record& record_;
  Data& row_;
};

template <class Record>
Data RowOf(const Report& report, const Record& record) {
  Data row;
  Describe<Record>(RowMembers<Record>(report, record, row));
  return row;
}

// The rows of all records; `complete(record, row)` adds what is not a member.
template <class Record, class Complete>
Data RowsOf(const Report& report, const std::vector<Record>& records, Complete complete) {
  List rows;
  for (const Record& record : records) {
    Data row = RowOf(report, record);
    complete(record, row);
    rows.push_back(row);
  }
  return Data(rows);
}

template <class Record>
Data RowsOf(const Report& report, const std::vector<Record>& records) {
  return RowsOf(report, records, [](const Record&, Data&) {});
}

// Of errors or of a site.
template <class Errors>
Data SqnrCell(const Errors& errors) {
  return errors.exact ? Word("exact") : Cell(errors.sqnr_db, FormatDb);
}

}  // namespace w8a8::html
