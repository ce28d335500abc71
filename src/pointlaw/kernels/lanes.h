/* Several problems side by side: every number is a vector with one lane a problem. All arithmetic is lane by lane, so a
 * problem's result does not depend on who sits in the other lanes. GCC and Clang turn these vectors into whatever the
 * processor has. */
#ifndef POINTLAW_LANES_H
#define POINTLAW_LANES_H

#include <math.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 8
#else
#define LANES 4
#endif

typedef double lanes __attribute__((vector_size(8 * LANES)));
typedef long long mask __attribute__((vector_size(8 * LANES))); /* all bits of a lane set, or none */

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS lanes all(double x) { return x - (lanes){}; } /* x - 0, so that a negative zero stays one */

ALWAYS lanes choose(mask where, lanes yes, lanes no)
{
    return (lanes)(((mask)yes & where) | ((mask)no & ~where));
}

ALWAYS lanes root(lanes x)
{
    double each[LANES] __attribute__((aligned(8 * LANES)));
    memcpy(each, &x, sizeof x);
    for (int l = 0; l < LANES; l++) each[l] = sqrt(each[l]);
    memcpy(&x, each, sizeof x);
    return x;
}

ALWAYS lanes exponential(lanes x)
{
    for (int l = 0; l < LANES; l++) x[l] = exp(x[l]);
    return x;
}

ALWAYS int any(mask m)
{
    long long found = 0;
    for (int l = 0; l < LANES; l++) found |= m[l];
    return found != 0;
}

#endif
