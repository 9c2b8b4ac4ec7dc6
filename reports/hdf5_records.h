// Described records (describe.h) in HDF5: one as a group, many as a table.
#pragma once

#include <cmath>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "reports/describe.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {

// What a member is as text; none is "".
inline std::string Hdf5Text(const Report& /*report*/, const std::string& text) {
  return ValidUtf8(text);
}
inline std::string Hdf5Text(const Report& report, ArmRef arm) {
  return ValidUtf8(report[arm].name);
}
inline std::string Hdf5Text(const Report& report, SiteRef site) { return ValidUtf8(report[site]); }
std::string Hdf5Text(const Report& /*report*/, NamedEnum auto value) {
  return std::string(NameOf(value));
}
template <class T>
auto Hdf5Text(const Report& report, const std::optional<T>& value)
    -> decltype(Hdf5Text(report, *value)) {
  return value ? Hdf5Text(report, *value) : "";
}
template <class T>
concept TextMember = requires(const Report& report, const T& value) {
  Hdf5Text(report, value);
};

// The rows of a table of records, one dataset a member: texts, numbers (none: NaN for a real
// number, 0 for a count, -1 for an index, or what the description says), intervals [rows, 3]. A
// record in the record is a group of columns; records by name are a group of tables under their
// names; the elements of lists are rows of one more table, each with its owner's first text.
template <class Record>
class Hdf5Table {
 public:
  Hdf5Table(Hdf5OutputFile& file, const Report& report, std::string group,
            std::vector<const Record*> rows)
      : file_(file), report_(report), group_(std::move(group)), rows_(std::move(rows)) {
    file_.Group(group_);
  }

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& traits = {}) {
    const std::string path = group_ + "/" + name;
    if constexpr (TextMember<T>) {
      std::vector<std::string> texts;
      for (const Record* row : rows_) texts.push_back(Hdf5Text(report_, row->*member));
      file_.WriteStrings(path, texts);
      if (owner_.first.empty()) owner_ = {name, texts};
    } else if constexpr (kIsMap<T>) {
      WriteByName(path, member);
    } else if constexpr (kIsList<T>) {
      WriteElements(path, member);
    } else if constexpr (std::is_same_v<T, Estimate> ||
                         std::is_same_v<T, std::optional<Estimate>>) {
      WriteIntervals(path, member);
    } else if constexpr (Described<T>) {
      WriteTable(path, Members(member));
    } else {
      WriteNumbers(path, member, traits);
    }
  }
  template <class T>
  void Inline(const char* /*name*/, T Record::*member) {
    WriteTable(group_, Members(member));
  }

 private:
  template <class T>
  std::vector<const T*> Members(T Record::*member) const {
    std::vector<const T*> members;
    for (const Record* row : rows_) members.push_back(&(row->*member));
    return members;
  }

  template <class T>
  void WriteTable(const std::string& path, std::vector<const T*> rows) {
    Describe<T>(Hdf5Table<T>(file_, report_, path, std::move(rows)));
  }

  template <class T>
  void WriteByName(const std::string& path, std::map<std::string, T> Record::*member) {
    static const T kNone = {};
    std::set<std::string> names;
    for (const Record* row : rows_) {
      for (const auto& [name, value] : row->*member) names.insert(name);
    }
    for (const std::string& name : names) {
      std::vector<const T*> values;
      for (const Record* row : rows_) {
        const auto at = (row->*member).find(name);
        values.push_back(at == (row->*member).end() ? &kNone : &at->second);
      }
      WriteTable(path + "/" + Hdf5ObjectName(name), std::move(values));
    }
  }

  template <class T>
  void WriteElements(const std::string& path, std::vector<T> Record::*member) {
    std::vector<const T*> elements;
    std::vector<std::string> owners;
    for (size_t i = 0; i < rows_.size(); ++i) {
      for (const T& element : rows_[i]->*member) {
        elements.push_back(&element);
        owners.push_back(owner_.second[i]);
      }
    }
    WriteTable(path, std::move(elements));
    file_.WriteStrings(path + "/" + owner_.first, owners);
  }

  template <class T>
  void WriteIntervals(const std::string& path, T Record::*member) {
    std::vector<double> values;
    for (const Record* row : rows_) {
      const Estimate estimate = std::optional<Estimate>(row->*member).value_or(Estimate{});
      for (const double value : {estimate.value, estimate.low, estimate.high}) {
        values.push_back(FiniteOrNan(value));
      }
    }
    file_.Write(path, values, {static_cast<int64_t>(rows_.size()), 3});
  }

  template <class T>
  void WriteNumbers(const std::string& path, T Record::*member, const FieldTraits<Record>& traits) {
    const auto stored = [&](const Record& row) {
      const T& value = row.*member;
      if constexpr (std::is_same_v<T, bool>) {
        return static_cast<uint8_t>(value);
      } else if constexpr (std::is_same_v<T, double>) {
        return FiniteOrNan(value);
      } else if constexpr (std::is_same_v<T, std::optional<double>>) {
        return value ? *value : traits.none(row);
      } else if constexpr (std::is_same_v<T, std::optional<uint64_t>>) {
        return value.value_or(0);
      } else if constexpr (std::is_same_v<T, std::optional<int64_t>>) {
        return value.value_or(-1);
      } else {
        return value;
      }
    };
    std::vector<decltype(stored(*rows_[0]))> values;
    for (const Record* row : rows_) values.push_back(stored(*row));
    file_.Write(path, values);
  }

  static double FiniteOrNan(double value) { return std::isfinite(value) ? value : kUndefined; }

  Hdf5OutputFile& file_;
  const Report& report_;
  std::string group_;
  std::vector<const Record*> rows_;
  std::pair<std::string, std::vector<std::string>> owner_;  // the first column of texts
};

template <class Record>
void WriteHdf5Group(Hdf5OutputFile& file, const Report& report, const std::string& group,
                    const Record& record);

template <class Record>
void WriteHdf5Table(Hdf5OutputFile& file, const Report& report, const std::string& group,
                    const std::vector<Record>& rows) {
  std::vector<const Record*> pointers;
  for (const Record& row : rows) pointers.push_back(&row);
  Describe<Record>(Hdf5Table<Record>(file, report, group, std::move(pointers)));
}

// An object of JSON as attributes of nested groups.
void WriteHdf5Facts(Hdf5OutputFile& file, const std::string& group, const Facts& facts);

// One record: texts and single numbers as attributes of the group, lists of numbers or texts as
// datasets of it, lists of records as tables, records by name as groups. What is inline is a table
// of one row.
template <class Record>
class Hdf5Group {
 public:
  Hdf5Group(Hdf5OutputFile& file, const Report& report, std::string group, const Record& record)
      : file_(file), report_(report), group_(std::move(group)), record_(record) {
    if (group_ != "/") file_.Group(group_);
  }

  template <class T>
  void operator()(const char* name, T Record::*member, const FieldTraits<Record>& /*traits*/ = {}) {
    const T& value = record_.*member;
    if constexpr (TextMember<T>) {
      file_.Attribute(group_, name, Hdf5Text(report_, value));
    } else if constexpr (std::is_same_v<T, int>) {
      file_.Attribute(group_, name, int64_t{value});
    } else if constexpr (std::is_arithmetic_v<T>) {
      file_.Attribute(group_, name, value);
    } else if constexpr (std::is_same_v<T, Facts>) {
      WriteHdf5Facts(file_, PathOf(name), value);
    } else if constexpr (kIsMap<T>) {
      for (const auto& [key, element] : value) {
        WriteHdf5Group(file_, report_, PathOf(name) + "/" + Hdf5ObjectName(key), element);
      }
    } else if constexpr (Described<T>) {
      WriteHdf5Group(file_, report_, PathOf(name), value);
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      std::vector<std::string> texts;
      for (const std::string& text : value) texts.push_back(ValidUtf8(text));
      file_.WriteStrings(PathOf(name), texts);
    } else if constexpr (Described<typename T::value_type>) {
      WriteHdf5Table(file_, report_, PathOf(name), value);
    } else {
      file_.Write(PathOf(name), value);
    }
  }
  template <class T>
  void Inline(const char* name, T Record::*member) {
    WriteHdf5Table(file_, report_, PathOf(name), std::vector<T>{record_.*member});
  }

 private:
  std::string PathOf(const std::string& name) const {
    return group_ == "/" ? group_ + name : group_ + "/" + name;
  }

  Hdf5OutputFile& file_;
  const Report& report_;
  std::string group_;
  const Record& record_;
};

template <class Record>
void WriteHdf5Group(Hdf5OutputFile& file, const Report& report, const std::string& group,
                    const Record& record) {
  Describe<Record>(Hdf5Group<Record>(file, report, group, record));
}

}  // namespace w8a8
