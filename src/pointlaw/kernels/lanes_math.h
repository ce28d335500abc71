/* Exponential and logarithm of all lanes at once, to a few units of the last place; lanes.h calls the C library lane by
 * lane. They are written so that sums may be reordered: no step lives on a cancellation that the compiler may undo. */
#ifndef POINTLAW_LANES_MATH_H
#define POINTLAW_LANES_MATH_H

#include "lanes.h"

typedef unsigned long long bits __attribute__((vector_size(8 * LANES)));

/* exp(x) = 2^n exp(f), |f| ≤ ln 2/2, with the Taylor series of the latter; below 2^−1000 it is 2^−1000, which stands for
 * zero, and above 2^1000 the answer is 2^1000. */
ALWAYS lanes fast_exponential(lanes x)
{
    lanes y = x * 1.4426950408889634074;
    y = choose(y < -1000.0, all(-1000.0), choose(y > 1000.0, all(1000.0), y));
    mask n = __builtin_convertvector(y + choose(y < 0.0, all(-0.5), all(0.5)), mask);
    lanes f = (y - __builtin_convertvector(n, lanes)) * 0.69314718055994530942;
    /* Pairs, then pairs of pairs: a chain of thirteen products would wait for each of them. */
    lanes f2 = f * f, f4 = f2 * f2, f8 = f4 * f4;
    lanes low = (1.0 + f) + f2 * (0.5 + f * (1.0 / 6.0)) +
                f4 * ((1.0 / 24.0 + f * (1.0 / 120.0)) + f2 * (1.0 / 720.0 + f * (1.0 / 5040.0)));
    lanes high = (1.0 / 40320.0 + f * (1.0 / 362880.0)) + f2 * (1.0 / 3628800.0 + f * (1.0 / 39916800.0)) +
                 f4 * (1.0 / 479001600.0 + f * (1.0 / 6227020800.0));
    lanes sum = low + f8 * high;
    return sum * (lanes)((n + 1023) << 52);
}

/* log(x) for normal x > 0: the mantissa between √½ and √2 by 2 artanh((m − 1)/(m + 1)), exact to round-off at 1. */
ALWAYS lanes fast_logarithm(lanes x)
{
    mask whole = ((mask)x - 0x3fe6a09e667f3bcdLL) >> 52;
    lanes mantissa = (lanes)((mask)x - (mask)((bits)whole << 52));
    lanes z = (mantissa - 1.0) / (mantissa + 1.0), z2 = z * z, z4 = z2 * z2, z8 = z4 * z4, z16 = z8 * z8;
    lanes sum = (1.0 + z2 * (1.0 / 3.0)) + z4 * (0.2 + z2 * (1.0 / 7.0)) +
                z8 * ((1.0 / 9.0 + z2 * (1.0 / 11.0)) + z4 * (1.0 / 13.0 + z2 * (1.0 / 15.0))) +
                z16 * ((1.0 / 17.0 + z2 * (1.0 / 19.0)) + z4 * (1.0 / 21.0));
    return 2.0 * z * sum + __builtin_convertvector(whole, lanes) * 0.69314718055994530942;
}

#endif
