/* Elastoplastic elements along given strain increments, and the way back of their gradients.
 *
 * One element has a stress s inside a sphere that grows with the plastic strain p. A straight increment d takes it along
 * the exact flow of perfect plasticity, with the mean radius of the step: s' = A s + B d, where A, B and p' are functions
 * of eight scalars only. These carry their derivatives with them as one vector, so the gradient needs no second formula.
 * The Python side is networks/overlay.py; names and equations agree with it. */
#include <math.h>
#include <string.h>

#include "overlay.h"

#define ALWAYS static inline __attribute__((always_inline))
#define MOST 16 /* Newton steps of the hardening equation */

/* The scalars: |d|², s·d, |s|², p, and the four parameters of the radius. */
enum { DD, SD, SS, P, RADIUS, GAIN, SCALE, POWER, SCALARS };

typedef double slopes __attribute__((vector_size(8 * SCALARS)));
typedef struct {
    double v;
    slopes g;
} dual;

ALWAYS dual number(double v) { return (dual){v, (slopes){}}; }
ALWAYS dual variable(double v, int k)
{
    dual x = number(v);
    x.g[k] = 1.0;
    return x;
}
ALWAYS dual add(dual a, dual b) { return (dual){a.v + b.v, a.g + b.g}; }
ALWAYS dual sub(dual a, dual b) { return (dual){a.v - b.v, a.g - b.g}; }
ALWAYS dual mul(dual a, dual b) { return (dual){a.v * b.v, a.v * b.g + b.v * a.g}; }
ALWAYS dual over(dual a, dual b)
{
    double r = 1.0 / b.v, v = a.v * r;
    return (dual){v, (a.g - v * b.g) * r};
}
ALWAYS dual times(double c, dual a) { return (dual){c * a.v, c * a.g}; }
ALWAYS dual root(dual a)
{
    double v = sqrt(a.v);
    return (dual){v, a.g * (0.5 / v)};
}
ALWAYS dual exponential(dual a)
{
    double v = exp(a.v);
    return (dual){v, a.g * v};
}
ALWAYS dual logarithm(dual a) { return (dual){log(a.v), a.g * (1.0 / a.v)}; }

/* R(p) = R0 (1 + h ((1 + p/l)^c − 1)) */
ALWAYS dual radius(dual p, dual R0, dual h, dual l, dual c)
{
    dual power = exponential(mul(c, logarithm(add(number(1.0), over(p, l)))));
    return mul(R0, add(number(1.0), mul(h, sub(power, number(1.0)))));
}

/* What the mean radius M leaves of the strain length L as plastic strain and growth together: L + M ln((1 + c + q²(1−c))/2),
 * q = exp(−L/M), where c is the cosine between stress and increment when yielding begins. */
ALWAYS dual plastic_length(dual L, dual M, dual cosine)
{
    dual q = exponential(times(-1.0, over(L, M)));
    dual den = add(add(number(1.0), cosine), mul(mul(q, q), sub(number(1.0), cosine)));
    return add(L, mul(M, logarithm(times(0.5, den))));
}

/* The plastic strain of a step: the root of x + R(p + x) − R(p) = plastic_length((R(p) + R(p + x))/2), which is monotone. */
ALWAYS double plastic_strain(double L, double cosine, const double z[SCALARS], double R)
{
    const double R0 = z[RADIUS], h = z[GAIN], l = z[SCALE], c = z[POWER], p = z[P];
    /* A small step grows the radius along its first slope. */
    const double q0 = exp(-L / R), start = L + R * log(0.5 * (1.0 + cosine + q0 * q0 * (1.0 - cosine)));
    double x = start / (1.0 + R0 * h * c / l * pow(1.0 + (p + start) / l, c - 1.0));
    for (int k = 0; k < MOST; k++) {
        double t = 1.0 + (p + x) / l, power = pow(t, c);
        double R1 = R0 * (1.0 + h * (power - 1.0)), slope = R0 * h * c / l * power / t;
        double M = 0.5 * (R + R1), q = exp(-L / M), half = 0.5 * (1.0 + cosine + q * q * (1.0 - cosine));
        double gap = x + R1 - R - (L + M * log(half));
        double turn = log(half) + L / M * q * q * (1.0 - cosine) / half;
        double change = gap / (1.0 + slope - 0.5 * slope * turn);
        x = fmax(x - change, 0.0);
        if (fabs(change) <= 1e-7 * (x + L)) break; /* quadratic: the step in duals squares what is left */
    }
    return x;
}

/* A, B and p' of one step from the scalars z, with their derivatives. */
ALWAYS void advance(const double z[SCALARS], dual *A, dual *B, dual *p1)
{
    dual dd = variable(z[DD], DD), sd = variable(z[SD], SD), ss = variable(z[SS], SS), p = variable(z[P], P);
    dual R0 = variable(z[RADIUS], RADIUS), h = variable(z[GAIN], GAIN), l = variable(z[SCALE], SCALE),
         c = variable(z[POWER], POWER);
    dual R = radius(p, R0, h, l, c);
    *A = *B = number(1.0);
    *p1 = p;
    if (!(dd.v > 0.0 && ss.v + 2.0 * sd.v + dd.v > R.v * R.v)) return;
    dual room = sub(mul(R, R), ss);
    if (room.v < 0.0) room = number(0.0);
    dual reach = root(add(mul(sd, sd), mul(dd, room)));
    dual contact = sd.v > 0.0 ? over(room, add(reach, sd)) : over(sub(reach, sd), dd);
    if (contact.v > 1.0) contact = number(1.0); /* round-off */
    dual length = root(dd), L = mul(sub(number(1.0), contact), length), cosine = over(reach, mul(R, length));
    /* The equation is solved in plain numbers; one more Newton step in duals brings the derivatives in. */
    double found = plastic_strain(L.v, cosine.v, z, R.v);
    dual x = number(found), R1 = radius(add(p, x), R0, h, l, c), M = times(0.5, add(R, R1));
    dual gap = sub(add(x, sub(R1, R)), plastic_length(L, M, cosine));
    double t = 1.0 + (p.v + found) / l.v, slope = R0.v * h.v * c.v / l.v * pow(t, c.v - 1.0);
    double q = exp(-L.v / M.v), half = 0.5 * (1.0 + cosine.v + q * q * (1.0 - cosine.v));
    double turn = log(half) + L.v / M.v * q * q * (1.0 - cosine.v) / half;
    x = sub(x, times(1.0 / (1.0 + slope - 0.5 * slope * turn), gap));
    *p1 = add(p, x);
    R1 = radius(*p1, R0, h, l, c);
    M = times(0.5, add(R, R1));
    dual Q = exponential(times(-1.0, over(L, M)));
    dual far = mul(mul(Q, Q), sub(number(1.0), cosine)), near = add(number(1.0), cosine), den = add(near, far);
    dual alpha = over(times(2.0, Q), den), beta = sub(over(sub(near, far), den), mul(alpha, cosine));
    *A = over(mul(R1, alpha), R);
    *B = mul(R1, add(over(mul(alpha, contact), R), over(beta, length)));
}

ALWAYS void scalars(long size, const double *d, const double *s, double p, const double *law, double z[SCALARS])
{
    z[DD] = z[SD] = z[SS] = 0.0;
    for (long i = 0; i < size; i++) {
        z[DD] += d[i] * d[i];
        z[SD] += s[i] * d[i];
        z[SS] += s[i] * s[i];
    }
    z[P] = p;
    memcpy(z + RADIUS, law, 4 * sizeof *z);
}

/* increment[paths][steps][elements][size], parameters[elements][4]; out come stress[paths][steps + 1][elements][size]
 * and plastic[paths][steps + 1][elements], whose first rows are zero. */
void overlay_scan(long paths, long steps, long elements, long size, const double *increment, const double *parameters,
                  double *stress, double *plastic)
{
    const long row = elements * size;
    for (long n = 0; n < paths; n++) {
        double *s = stress + n * (steps + 1) * row, *p = plastic + n * (steps + 1) * elements;
        memset(s, 0, row * sizeof *s);
        memset(p, 0, elements * sizeof *p);
        for (long t = 0; t < steps; t++, s += row, p += elements)
            for (long k = 0; k < elements; k++) {
                const double *d = increment + (n * steps + t) * row + k * size, *old = s + k * size;
                double z[SCALARS];
                dual A, B, p1;
                scalars(size, d, old, p[k], parameters + 4 * k, z);
                advance(z, &A, &B, &p1);
                for (long i = 0; i < size; i++) s[row + k * size + i] = A.v * old[i] + B.v * d[i];
                p[elements + k] = p1.v;
            }
    }
}

/* From pull_stress[paths][steps][elements][size], the gradient by the stress after each step, to the gradients by the
 * increments and, summed over paths, by the parameters; stress and plastic are the answers of overlay_scan. */
void overlay_pull(long paths, long steps, long elements, long size, const double *increment, const double *parameters,
                  const double *stress, const double *plastic, const double *pull_stress, double *pull_increment,
                  double *pull_parameters)
{
    const long row = elements * size;
    memset(pull_parameters, 0, 4 * elements * sizeof *pull_parameters);
    for (long n = 0; n < paths; n++)
        for (long k = 0; k < elements; k++) {
            double gs[size], gp = 0.0;
            memset(gs, 0, sizeof gs);
            for (long t = steps - 1; t >= 0; t--) {
                const long here = (n * steps + t) * row + k * size;
                const double *s = stress + (n * (steps + 1) + t) * row + k * size, *d = increment + here;
                double z[SCALARS], gA = 0.0, gB = 0.0;
                dual A, B, p1;
                scalars(size, d, s, plastic[(n * (steps + 1) + t) * elements + k], parameters + 4 * k, z);
                advance(z, &A, &B, &p1);
                for (long i = 0; i < size; i++) {
                    gs[i] += pull_stress[here + i];
                    gA += gs[i] * s[i];
                    gB += gs[i] * d[i];
                }
                slopes g = gA * A.g + gB * B.g + gp * p1.g;
                for (long i = 0; i < size; i++) {
                    pull_increment[here + i] = B.v * gs[i] + g[SD] * s[i] + 2.0 * g[DD] * d[i];
                    gs[i] = A.v * gs[i] + g[SD] * d[i] + 2.0 * g[SS] * s[i];
                }
                gp = g[P];
                for (int j = 0; j < 4; j++) pull_parameters[4 * k + j] += g[RADIUS + j];
            }
        }
}
