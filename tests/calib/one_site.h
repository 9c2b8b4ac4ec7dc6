// Plans of version 2 that say one thing of one site.
#pragma once

#include <span>
#include <string>

#include "quant/plan_file.h"

namespace w8a8::test {

inline constexpr const char* kSite = "blocks.0.attn.qkv";

inline std::string OneSite(const std::string& value) {
  return std::string(R"({"version": 2, "sites": {")") + kSite + R"(": )" + value + "}}";
}

inline SitePlan SiteOf(const std::string& value, std::span<const KnownSite> sites) {
  return ParsePlan(OneSite(value), "plan.json", sites).plan.sites.at(kSite);
}

}  // namespace w8a8::test
