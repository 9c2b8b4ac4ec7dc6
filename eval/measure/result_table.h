// Results that can be merged, saved and loaded. A record says its columns once,
//   friend constexpr auto ColumnsOf(const R*) { return std::tuple(Column("images", &R::images)); }
// and the three follow. In a result file many records are a table, a dataset for each column:
// numbers [rows], arrays [rows, N], texts padded, samples as their numbers, lists and maps as their
// sizes and all their elements; a record in a record is columns under its name.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "eval/measure/result_file.h"

namespace w8a8 {

template <class Record, class T>
struct Column {
  constexpr Column(const char* column, T Record::*value) : name(column), member(value) {}
  const char* name;
  T Record::*member;
};

constexpr auto ColumnsOf(const ImageKey*) {
  return std::tuple(Column("sha256", &ImageKey::sha256), Column("name", &ImageKey::name),
                    Column("copy", &ImageKey::copy));
}
constexpr auto ColumnsOf(const SampleKey*) {
  return std::tuple(Column("image", &SampleKey::image), Column("view", &SampleKey::view));
}

// A run of an experiment and a site or an output of the encoder.
struct RunPlace {
  size_t run = 0;
  std::string place;
  friend auto operator<=>(const RunPlace&, const RunPlace&) = default;
  friend constexpr auto ColumnsOf(const RunPlace*) {
    return std::tuple(Column("run", &RunPlace::run), Column("place", &RunPlace::place));
  }
};

template <class T>
concept Tabular = requires(const T* record) {
  ColumnsOf(record);
};

// A loaded value that says what is wrong with it: "" or the end of a sentence about its dataset.
template <class T>
concept SelfChecking = requires(const T& value) {
  ProblemOf(value);
};

template <Tabular Record, class Visit>
void ForEachColumn(const Visit& visit) {
  std::apply([&](const auto&... column) { (visit(column.name, column.member), ...); },
             ColumnsOf(static_cast<const Record*>(nullptr)));
}

// What `from` saw, added to what `into` saw: counts are added up, a type with a Merge() of its own
// is asked. Exact, and the same in any order.
template <class T>
void MergeResult(T& into, const T& from) {
  if constexpr (requires { into.Merge(from); }) {
    into.Merge(from);
  } else if constexpr (Tabular<T>) {
    ForEachColumn<T>([&](const char*, auto member) { MergeResult(into.*member, from.*member); });
  } else if constexpr (requires { typename T::mapped_type; }) {
    for (const auto& [key, value] : from) MergeResult(into[key], value);
  } else if constexpr (std::is_integral_v<T>) {
    into += from;
  } else {
    for (size_t i = 0; i < from.size(); ++i) MergeResult(into[i], from[i]);
  }
}

// The values of a column, one a row; specialized for each kind of value.
template <class T>
struct ColumnFile {
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const T*>& rows) {
    if constexpr (Tabular<T>) {
      ForEachColumn<T>([&]<class M>(const char* name, M T::*member) {
        std::vector<const M*> column;
        for (const T* row : rows) column.push_back(&(row->*member));
        ColumnFile<M>::Save(writer, path + "/" + name, column);
      });
    } else if constexpr (std::is_enum_v<T>) {
      std::vector<std::underlying_type_t<T>> values;
      for (const T* row : rows) values.push_back(static_cast<std::underlying_type_t<T>>(*row));
      writer.file().Write(path, values);
    } else {
      std::vector<T> values;
      for (const T* row : rows) values.push_back(*row);
      writer.file().Write(path, values);
    }
  }

  // `rows` -1: as many as there are.
  static std::vector<T> Load(const ResultReader& reader, const std::string& path, int64_t rows) {
    std::vector<T> values;
    if constexpr (Tabular<T>) {
      ForEachColumn<T>([&]<class M>(const char* name, M T::*member) {
        std::vector<M> column = ColumnFile<M>::Load(reader, path + "/" + name, rows);
        rows = static_cast<int64_t>(column.size());
        values.resize(column.size());
        for (size_t i = 0; i < column.size(); ++i) values[i].*member = std::move(column[i]);
      });
    } else if constexpr (std::is_enum_v<T>) {
      for (const auto value : reader.file().Read<std::underlying_type_t<T>>(path, {rows})) {
        values.push_back(static_cast<T>(value));
      }
    } else {
      values = reader.file().Read<T>(path, {rows});
    }
    if constexpr (SelfChecking<T>) {
      for (const T& value : values) {
        if (const std::string problem = ProblemOf(value); !problem.empty()) {
          reader.Refuse(path, problem);
        }
      }
    }
    return values;
  }
};

template <>
struct ColumnFile<std::string> {
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const std::string*>& rows);
  static std::vector<std::string> Load(const ResultReader& reader, const std::string& path,
                                       int64_t rows);
};

template <>
struct ColumnFile<SamplePtr> {
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const SamplePtr*>& rows);
  static std::vector<SamplePtr> Load(const ResultReader& reader, const std::string& path,
                                     int64_t rows);
};

template <class T, size_t N>
struct ColumnFile<std::array<T, N>> {
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const std::array<T, N>*>& rows) {
    std::vector<T> values;
    for (const auto* row : rows) values.insert(values.end(), row->begin(), row->end());
    writer.file().Write(path, values, {static_cast<int64_t>(rows.size()), int64_t{N}});
  }
  static std::vector<std::array<T, N>> Load(const ResultReader& reader, const std::string& path,
                                            int64_t rows) {
    const std::vector<T> values = reader.file().Read<T>(path, {rows, int64_t{N}});
    std::vector<std::array<T, N>> arrays(values.size() / N);
    for (size_t i = 0; i < values.size(); ++i) arrays[i / N][i % N] = values[i];
    return arrays;
  }
};

template <class T>
struct ColumnFile<std::vector<T>> {
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const std::vector<T>*>& rows) {
    std::vector<uint64_t> sizes;
    std::vector<const T*> elements;
    for (const std::vector<T>* row : rows) {
      sizes.push_back(row->size());
      for (const T& element : *row) elements.push_back(&element);
    }
    writer.file().Write(path + "/size", sizes);
    ColumnFile<T>::Save(writer, path + "/element", elements);
  }
  static std::vector<std::vector<T>> Load(const ResultReader& reader, const std::string& path,
                                          int64_t rows) {
    const std::vector<uint64_t> sizes = reader.file().Read<uint64_t>(path + "/size", {rows});
    std::vector<T> elements = ColumnFile<T>::Load(reader, path + "/element", -1);
    std::vector<std::vector<T>> lists;
    auto next = elements.begin();
    for (const uint64_t size : sizes) {
      if (size > static_cast<uint64_t>(elements.end() - next)) {
        reader.Refuse(path, "has sizes that pass its elements");
      }
      const auto end = next + static_cast<std::ptrdiff_t>(size);
      lists.emplace_back(std::move_iterator(next), std::move_iterator(end));
      next = end;
    }
    if (next != elements.end()) reader.Refuse(path, "has elements of no list");
    return lists;
  }
};

template <class Key, class Value>
struct ColumnFile<std::map<Key, Value>> {
  using Map = std::map<Key, Value>;
  static void Save(ResultWriter& writer, const std::string& path,
                   const std::vector<const Map*>& rows) {
    std::vector<uint64_t> sizes;
    std::vector<const Key*> keys;
    std::vector<const Value*> values;
    for (const Map* row : rows) {
      sizes.push_back(row->size());
      for (const auto& [key, value] : *row) {
        keys.push_back(&key);
        values.push_back(&value);
      }
    }
    writer.file().Write(path + "/size", sizes);
    ColumnFile<Key>::Save(writer, path + "/key", keys);
    ColumnFile<Value>::Save(writer, path + "/value", values);
  }
  static std::vector<Map> Load(const ResultReader& reader, const std::string& path, int64_t rows) {
    const std::vector<uint64_t> sizes = reader.file().Read<uint64_t>(path + "/size", {rows});
    std::vector<Key> keys = ColumnFile<Key>::Load(reader, path + "/key", -1);
    const auto entries = static_cast<int64_t>(keys.size());
    std::vector<Value> values = ColumnFile<Value>::Load(reader, path + "/value", entries);
    std::vector<Map> maps;
    size_t next = 0;
    for (const uint64_t size : sizes) {
      if (size > keys.size() - next) reader.Refuse(path, "has sizes that pass its entries");
      Map& map = maps.emplace_back();
      for (const size_t end = next + size; next < end; ++next) {
        if (!map.empty() && !(map.rbegin()->first < keys[next])) {
          reader.Refuse(path, "has keys that do not ascend");
        }
        map.emplace_hint(map.end(), std::move(keys[next]), std::move(values[next]));
      }
    }
    if (next != keys.size()) reader.Refuse(path, "has entries of no map");
    return maps;
  }
};

template <class Result>
void SaveResult(ResultWriter& writer, const std::string& group, const Result& result) {
  ColumnFile<Result>::Save(writer, group, {&result});
}

template <class Result>
Result LoadResult(const ResultReader& reader, const std::string& group) {
  return std::move(ColumnFile<Result>::Load(reader, group, 1).front());
}

}  // namespace w8a8
