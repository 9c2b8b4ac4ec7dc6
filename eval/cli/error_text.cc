#include "eval/cli/error_text.h"

namespace w8a8 {
namespace {

const char* FlagOf(Setting setting) {
  switch (setting) {
    case Setting::kFakeFlavour:
      return "--fake";
    case Setting::kModelPrefix:
      return "--model-prefix";
    case Setting::kResidual:
      return "--residual";
    case Setting::kTowerOnly:
      return "--tower-only";
  }
  W8A8_CHECK(!"a Setting outside its enumeration");
  return "";
}

}  // namespace

std::string RemedyText(const Remedy& remedy) {
  const char* separator = remedy.value.empty() ? "" : " ";
  return fmt::format(" Rerun with {}{}{}.", FlagOf(remedy.setting), separator, remedy.value);
}

std::string ErrorText(const Error& error) {
  const auto* mendable = dynamic_cast<const MendableError*>(&error);
  return error.what() + (mendable == nullptr ? "" : RemedyText(mendable->remedy()));
}

}  // namespace w8a8
