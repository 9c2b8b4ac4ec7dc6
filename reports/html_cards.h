// The cards of the sites, the outlier maps, the worst images and what follows from them, as data
// for the template.
#pragma once

#include "reports/html_tables.h"

namespace w8a8::html {

Data CardRows(const Report& report);  // one a site, in the order of the site table
Data MapRows(const Report& report);   // the maps of the guiltiest sites
// What the calibration says about the FP16 reference: its largest inputs and what is not finite.
Data ReferenceRows(const Report& report);
// Lines of a plan that keep sites in FP16, guiltiest first: all of them, for the page to cut.
Data KeepRows(const Report& report);

}  // namespace w8a8::html
