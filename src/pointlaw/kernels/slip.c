/* Slip systems under one stress: one implicit step of a point after another, all systems of a point side by side.
 *
 * The equations, Newton's method with its line search, the way from soft exponents and the tangent are those of
 * networks/slip_flow.py, which explains them; names agree. Coordinates are those of the elastic energy. */
#include <math.h>
#include <string.h>

#include "lanes_math.h"
#include "slip.h"

#define SIZE 16  /* components of stress */
#define MOST 128 /* systems, a whole number of lanes */
#define ITERATIONS 60
#define HALVINGS 12
#define STALLED 1e-7
#define HOPELESS 1e100

typedef double systems[MOST] __attribute__((aligned(64)));

typedef struct {
    long m, K, P; /* P: systems with the empty ones that fill the last lanes */
    double q, n, unit;
    systems A[SIZE], g0, cap, rate; /* rate: h0/c */
} solid;

typedef struct {
    double t[SIZE], rt[SIZE], size;
    systems a, ra, increment, k, ratio, b;
} place;

typedef struct {
    double matrix[SIZE][SIZE], c;
    systems pull, kx, delta, beta;
} linear;

static void lay_out(solid *s, long m, long K, const double *directions, const double *law)
{
    memset(s, 0, sizeof *s);
    s->m = m, s->K = K, s->P = (K + LANES - 1) / LANES * LANES;
    s->q = law[3 * K], s->n = law[4 * K];
    for (long k = 0; k < s->P; k++) {
        int real = k < K;
        s->g0[k] = real ? law[k] : 1.0, s->cap[k] = real ? law[K + k] : 1.0;
        s->rate[k] = real ? law[2 * K + k] / law[K + k] : 0.0;
        s->unit += real ? law[k] / K : 0.0;
        for (long i = 0; real && i < m; i++) s->A[i][k] = directions[k * m + i];
    }
}

static double length_of(long m, const double *d)
{
    double square = 0.0;
    for (long i = 0; i < m; i++) square += d[i] * d[i];
    return sqrt(square);
}

/* Slip and what is left of the equations at p->t, p->a. */
static void look(const solid *s, place *p, const double *trial, const double *old, double length, double n)
{
    const long m = s->m, P = s->P;
    systems own;
    double sum = 0.0, square = 0.0, lowest = INFINITY;
    for (long k = 0; k < P; k++) p->ratio[k] = 0.0;
    for (long i = 0; i < m; i++)
        for (long k = 0; k < P; k++) p->ratio[k] += s->A[i][k] * p->t[i];
    for (long k = 0; k < P; k++) {
        double g = s->g0[k] + p->a[k];
        lowest = g > 0.0 ? lowest : -1.0;
        p->ratio[k] /= g;
    }
    for (long k = 0; k < P; k += LANES) {
        lanes r, power;
        memcpy(&r, p->ratio + k, sizeof r);
        r = choose(r < 0.0, -r, r);
        power = fast_exponential((n - 1.0) * fast_logarithm(choose(r < 1e-300, all(1e-300), r)));
        power = choose(r == r, power, r); /* NaN stays NaN */
        memcpy(p->k + k, &power, sizeof power);
    }
    for (long k = 0; k < P; k++) {
        double power = length * p->k[k];
        p->increment[k] = power * p->ratio[k];
        p->k[k] = n * power / (s->g0[k] + p->a[k]);
        own[k] = fabs(p->increment[k]);
        sum += own[k];
    }
    for (long i = 0; i < m; i++) {
        double flow = 0.0;
        for (long k = 0; k < P; k++) flow += p->increment[k] * s->A[i][k];
        p->rt[i] = p->t[i] + flow - trial[i];
        square += p->rt[i] * p->rt[i];
    }
    for (long k = 0; k < P; k += LANES) {
        lanes rate, count, all_slip = all(s->q * sum);
        memcpy(&rate, s->rate + k, sizeof rate);
        memcpy(&count, own + k, sizeof count);
        lanes x = -rate * ((1.0 - s->q) * count + all_slip), left = fast_exponential(x);
        left = choose(x == x, left, x);
        memcpy(own + k, &left, sizeof left);
    }
    for (long k = 0; k < P; k++) {
        double room = (s->cap[k] - old[k]) * own[k];
        p->b[k] = s->rate[k] * room;
        p->ra[k] = p->a[k] - s->cap[k] + room;
    }
    for (long k = 0; k < s->K; k++) square += p->ra[k] * p->ra[k];
    for (long k = s->K; k < P; k++) p->ra[k] = 0.0;
    p->size = lowest > 0.0 ? sqrt(square) / s->unit : INFINITY;
}

/* The derivative of both equations, the hardening eliminated. */
static void linearise(const solid *s, const place *p, linear *l)
{
    const long m = s->m, P = s->P;
    const double q = s->q;
    systems weight, left, right;
    double left_A[SIZE], right_A[SIZE], sum = 0.0;
    for (long k = 0; k < P; k++) {
        double sign = p->ratio[k] > 0.0 ? 1.0 : p->ratio[k] < 0.0 ? -1.0 : 0.0;
        l->kx[k] = p->k[k] * p->ratio[k];
        l->delta[k] = 1.0 / (1.0 + (1.0 - q) * p->b[k] * fabs(l->kx[k]));
        l->beta[k] = l->delta[k] * p->b[k];
        l->pull[k] = sign * p->k[k];
        sum += fabs(l->kx[k]) * l->beta[k];
    }
    l->c = q / (1.0 + q * sum);
    for (long k = 0; k < P; k++) {
        weight[k] = p->k[k] * l->delta[k];
        left[k] = -l->c * l->kx[k] * l->beta[k];
        right[k] = l->delta[k] * l->pull[k];
    }
    for (long i = 0; i < m; i++) {
        left_A[i] = right_A[i] = 0.0;
        for (long k = 0; k < P; k++) left_A[i] += left[k] * s->A[i][k], right_A[i] += right[k] * s->A[i][k];
    }
    for (long i = 0; i < m; i++) {
        systems row;
        for (long k = 0; k < P; k++) row[k] = weight[k] * s->A[i][k];
        for (long j = 0; j <= i; j++) {
            double sum_ij = 0.0;
            for (long k = 0; k < P; k++) sum_ij += row[k] * s->A[j][k];
            l->matrix[i][j] = l->matrix[j][i] = sum_ij + (i == j);
        }
    }
    for (long i = 0; i < m; i++)
        for (long j = 0; j < m; j++) l->matrix[i][j] += left_A[i] * right_A[j];
}

/* Solve matrix · x = b for the columns of b, which becomes x; Gauss with row pivots. The matrix is used up. */
static void gauss(long m, double matrix[SIZE][SIZE], long columns, double b[SIZE][SIZE])
{
    for (long i = 0; i < m; i++) {
        long best = i;
        for (long r = i + 1; r < m; r++)
            if (fabs(matrix[r][i]) > fabs(matrix[best][i])) best = r;
        if (best != i)
            for (long j = 0; j < SIZE; j++) {
                double x = matrix[i][j], y = b[i][j];
                matrix[i][j] = matrix[best][j], matrix[best][j] = x;
                b[i][j] = b[best][j], b[best][j] = y;
            }
        double pivot = 1.0 / matrix[i][i];
        for (long r = i + 1; r < m; r++) {
            double f = matrix[r][i] * pivot;
            for (long j = i + 1; j < m; j++) matrix[r][j] -= f * matrix[i][j];
            for (long j = 0; j < columns; j++) b[r][j] -= f * b[i][j];
        }
    }
    for (long i = m - 1; i >= 0; i--) {
        double pivot = 1.0 / matrix[i][i];
        for (long j = 0; j < columns; j++) {
            double x = b[i][j];
            for (long r = i + 1; r < m; r++) x -= matrix[i][r] * b[r][j];
            b[i][j] = x * pivot;
        }
    }
}

/* The change of hardening when amount is added to |Δγ|, its own feedback included. */
static void spread_hardening(const solid *s, const linear *l, const double *amount, double *answer)
{
    double sum = 0.0;
    for (long k = 0; k < s->P; k++) sum += l->delta[k] * amount[k];
    for (long k = 0; k < s->P; k++) answer[k] = l->beta[k] * ((1.0 - s->q) * amount[k] + l->c * sum);
}

static void newton_step(const solid *s, const place *p, double *dt, double *da)
{
    linear l;
    systems slow, amount;
    double b[SIZE][SIZE] = {{0.0}}, sum = 0.0;
    linearise(s, p, &l);
    for (long k = 0; k < s->P; k++) sum += fabs(l.kx[k]) * l.delta[k] * p->ra[k];
    for (long k = 0; k < s->P; k++) slow[k] = l.delta[k] * p->ra[k] - l.c * l.beta[k] * sum;
    for (long i = 0; i < s->m; i++) {
        double along = 0.0;
        for (long k = 0; k < s->P; k++) along += l.kx[k] * slow[k] * s->A[i][k];
        b[i][0] = -p->rt[i] - along;
    }
    gauss(s->m, l.matrix, 1, b);
    for (long i = 0; i < s->m; i++) dt[i] = b[i][0];
    for (long k = 0; k < s->P; k++) amount[k] = 0.0;
    for (long i = 0; i < s->m; i++)
        for (long k = 0; k < s->P; k++) amount[k] += dt[i] * s->A[i][k];
    for (long k = 0; k < s->P; k++) amount[k] *= l.pull[k];
    spread_hardening(s, &l, amount, da);
    for (long k = 0; k < s->P; k++) da[k] = k < s->K ? da[k] - slow[k] : 0.0;
}

/* Newton's method from p->t, p->a; whether it arrived. */
static int newton(const solid *s, place *p, const double *trial, const double *old, double length, double n,
                  double tolerance)
{
    place moved;
    double dt[SIZE];
    systems da;
    look(s, p, trial, old, length, n);
    if (p->size <= tolerance) return 1;
    if (!(p->size < HOPELESS)) return 0;
    for (int iteration = 0; iteration < ITERATIONS; iteration++) {
        double share = 1.0;
        newton_step(s, p, dt, da);
        for (int halving = 0;; halving++, share *= 0.5) {
            for (long i = 0; i < s->m; i++) moved.t[i] = p->t[i] + share * dt[i];
            for (long k = 0; k < s->P; k++) moved.a[k] = p->a[k] + share * da[k];
            look(s, &moved, trial, old, length, n);
            if (moved.size <= (1.0 - 1e-4 * share) * p->size || halving == HALVINGS) break;
        }
        if (!(moved.size < p->size)) return p->size <= STALLED;
        *p = moved;
        if (p->size <= tolerance) return 1;
    }
    return 0;
}

/* The stress shortened to where slip can be: it cannot exceed the strain at hand. */
static void first_guess(const solid *s, double *t, const double *a, double length, double n)
{
    double strongest = 0.0, far = length_of(s->m, t);
    for (long k = 0; k < s->K; k++) {
        double tau = 0.0;
        for (long i = 0; i < s->m; i++) tau += s->A[i][k] * t[i];
        tau = fabs(tau) / (s->g0[k] + a[k]);
        strongest = tau > strongest ? tau : strongest;
    }
    double bound = pow(2.0 * far / (length > 1e-300 ? length : 1e-300), 1.0 / n);
    if (strongest > bound)
        for (long i = 0; i < s->m; i++) t[i] *= bound / strongest;
}

static int solve(const solid *s, place *p, const double *t, const double *a, const double *d, double length)
{
    double trial[SIZE];
    systems old;
    for (long k = 0; k < s->P; k++) old[k] = p->a[k] = k < s->K ? a[k] : 0.0;
    for (long i = 0; i < s->m; i++) trial[i] = p->t[i] = t[i] + d[i];
    first_guess(s, p->t, p->a, length, s->n);
    if (newton(s, p, trial, old, length, s->n, 1e-12)) return 1;
    for (long i = 0; i < s->m; i++)
        if (!isfinite(trial[i])) return 0;
    for (long k = 0; k < s->K; k++)
        if (!isfinite(old[k])) return 0;
    memcpy(p->t, trial, sizeof trial);
    memcpy(p->a, old, sizeof old);
    int arrived = 0;
    for (double n = 6.0 < s->n ? 6.0 : s->n;; n = 1.5 * n < s->n ? 1.5 * n : s->n) {
        int last = n >= s->n;
        first_guess(s, p->t, p->a, length, n);
        arrived = newton(s, p, trial, old, length, n, last ? 1e-12 : 1e-2);
        if (last) return arrived;
    }
}

/* dt/dd, row after row. */
static void tangent(const solid *s, const place *p, const double *d, double length, double *slope)
{
    const long m = s->m;
    const double safe = length > 0.0 ? length : 1.0;
    linear l;
    systems rate, size, hardening;
    double b[SIZE][SIZE] = {{0.0}};
    linearise(s, p, &l);
    for (long k = 0; k < s->P; k++) rate[k] = p->increment[k] / safe, size[k] = fabs(rate[k]);
    spread_hardening(s, &l, size, hardening);
    for (long i = 0; i < m; i++) {
        double pull = 0.0;
        for (long k = 0; k < s->P; k++) pull += (l.kx[k] * hardening[k] - rate[k]) * s->A[i][k];
        for (long j = 0; j < m; j++) b[i][j] = (i == j) + pull * d[j] / safe;
    }
    gauss(m, l.matrix, m, b);
    for (long i = 0; i < m; i++)
        for (long j = 0; j < m; j++) slope[i * m + j] = b[i][j];
}

static void advance(const solid *s, const double *t, const double *a, const double *d, double *new_t, double *new_a,
                    double *slope)
{
    place p;
    const double length = length_of(s->m, d);
    int solved = solve(s, &p, t, a, d, length);
    for (long i = 0; i < s->m; i++) new_t[i] = solved ? p.t[i] : NAN;
    for (long k = 0; k < s->K; k++) new_a[k] = p.a[k];
    if (slope) tangent(s, &p, d, length, slope);
}

void slip_rows(long rows, long features, long systems_, const double *directions, const double *law, const double *stress,
               long stress_stride, const double *hardening, long hardening_stride, const double *increment,
               double *new_stress, long new_stress_stride, double *new_hardening, long new_hardening_stride,
               double *slope)
{
    solid s;
    lay_out(&s, features, systems_, directions, law);
    for (long r = 0; r < rows; r++)
        advance(&s, stress + r * stress_stride, hardening + r * hardening_stride, increment + r * features,
                new_stress + r * new_stress_stride, new_hardening + r * new_hardening_stride,
                slope ? slope + r * features * features : 0);
}

void slip_scan(long paths, long steps, long features, long systems_, const double *directions, const double *law,
               const double *increment, double *stress, double *hardening)
{
    solid s;
    const double rest_t[SIZE] = {0.0};
    const systems rest_a = {0.0};
    lay_out(&s, features, systems_, directions, law);
    for (long r = 0; r < paths; r++) {
        const double *t = rest_t, *a = rest_a;
        for (long k = r * steps; k < (r + 1) * steps; k++) {
            advance(&s, t, a, increment + k * features, stress + k * features, hardening + k * systems_, 0);
            t = stress + k * features, a = hardening + k * systems_;
        }
    }
}
