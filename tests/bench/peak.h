// What one core could do at best, measured in the same run.
#pragma once

namespace w8a8 {

// INT8 multiply-accumulates per second of vpdpbusd on registers; 0 where the CPU lacks it.
double VnniPeakMacsPerSecond();

// Of tdpbssd on tile registers with random operands, right now: the clock falls with the work that
// went before. 0 where this process cannot use AMX.
double AmxPeakMacsPerSecond();

}  // namespace w8a8
