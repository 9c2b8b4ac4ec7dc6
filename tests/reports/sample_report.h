// A made report with everything in it, among it what is hard to write: markup in names, bytes that
// are no UTF-8, exact and missing figures.
#pragma once

#include "reports/report.h"

namespace w8a8::test {

// `blocks` blocks of four sites each; all numbers come from the counter hash.
Report SampleReport(int blocks);
RunInfo SampleRun();

// Parts of it (sample_cards.cc): all that a card shows, its site left to the caller, and eight
// images.
SiteCard SampleCard(const std::string& site);
std::vector<WorstImage> SampleWorstImages();

inline constexpr const char* kHostileName = "<script>alert(1)</script>\"'&.jpg";

}  // namespace w8a8::test
