// What one core could do at best, measured in the same run.
#pragma once

namespace w8a8 {

// INT8 multiply-accumulates per second of vpdpbusd on registers; 0 where the CPU lacks it.
double VnniPeakMacsPerSecond();

}  // namespace w8a8
