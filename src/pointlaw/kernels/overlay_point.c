/* One step of the physically recurrent network at many points, with its tangent: what a solver asks for.
 *
 * The elements of a point lie side by side in the lanes, so a point's answer does not depend on the others. Flow and
 * derivatives are those of networks/overlay.py, whose names and equations they keep; overlay.c is for training. */
#include "lanes_math.h"
#include "overlay_point.h"

#define MOST 16   /* features, and components of an element's stress */
#define NEWTON 12 /* steps of the hardening equation at most */

typedef struct {
    lanes R0, h, l, c; /* l stands for 1/l */
} parameters;

typedef struct {
    lanes A, B, p, A_dd, A_sd, B_dd, B_sd;
} flow;

long overlay_lanes(void) { return LANES; }

/* R(p) and dR/dp */
ALWAYS lanes radius(lanes p, const parameters *law, lanes *slope)
{
    lanes t = 1.0 + p * law->l, power = fast_exponential(law->c * fast_logarithm(t));
    *slope = law->R0 * law->h * law->c * law->l * power / t;
    return law->R0 * (1.0 + law->h * (power - 1.0));
}

/* w = (1 + c + q²(1 − c))/2 and its logarithm, q = exp(−r) with r = L/M */
ALWAYS lanes sliding(lanes r, lanes cosine, lanes *q, lanes *w)
{
    *q = fast_exponential(-r);
    *w = 0.5 * (1.0 + cosine + *q * *q * (1.0 - cosine));
    return fast_logarithm(*w);
}

/* The flow of elements of which some yield; the others get A = B = 1 and no slopes. */
ALWAYS flow yielding(mask yields, lanes dd, lanes sd, lanes ss, lanes p, lanes R, lanes slope, const parameters *law,
                     const int slopes)
{
    const lanes one = all(1.0), zero = {};
    lanes room = R * R - ss;
    room = choose(room > 0.0, room, zero);
    lanes safe = choose(yields, dd, one), length = root(safe);
    lanes reach = root(choose(yields, sd * sd + dd * room, one));
    mask outward = sd > 0.0;
    lanes bottom = choose(outward, reach + sd, one);
    lanes contact = choose(outward, room / bottom, (reach - sd) / safe);
    contact = choose(yields & (contact < 1.0), contact, one);
    lanes L = (1.0 - contact) * length, cosine = choose(yields, reach / (R * length), zero);

    lanes q, w, change, total, R1, M, rest, logarithm;
    lanes start = L + R * sliding(L / R, cosine, &q, &w), ahead;
    radius(p + start, law, &ahead);
    lanes x = start / (1.0 + ahead);
    for (int k = 1;; k++) {
        R1 = radius(p + x, law, &slope);
        M = 0.5 * (R + R1);
        lanes r = L / M;
        logarithm = sliding(r, cosine, &q, &w);
        rest = q * q * (1.0 - cosine);
        total = 1.0 + slope - 0.5 * slope * (logarithm + r * rest / w);
        change = (x + R1 - R - L - M * logarithm) / total;
        lanes size = choose(change < 0.0, -change, change);
        if (k == NEWTON || !any(yields & (size > 1e-7 * (x + L)))) break;
        x -= change;
        x = choose(x > 0.0, x, zero);
    }
    /* What is left is so small that its square is round-off: everything moves along its slope. */
    lanes turn = -slope * change, r = L / M, before = w;
    slope *= 1.0 + (1.0 - law->c) * law->l * change / (1.0 + (p + x) * law->l);
    x -= change;
    x = choose(x > 0.0, x, zero);
    R1 += turn;
    q *= 1.0 + 0.5 * turn * r / M;
    M += 0.5 * turn;
    rest = q * q * (1.0 - cosine);
    w = 0.5 * (1.0 + cosine + rest);
    total = 1.0 + slope - 0.5 * slope * (logarithm + (w - before) / before + L / M * rest / w);
    lanes alpha = q / w, ratio = (1.0 + cosine) / w, beta = ratio - 1.0 - alpha * cosine;
    lanes pull = alpha * contact / R + beta / length;
    flow f = {choose(yields, R1 * alpha / R, one), choose(yields, R1 * pull, one), choose(yields, p + x, p)};
    if (!slopes) return f;
    /* First the derivatives of what leads to the surface, then of what happens on it; one lane for |d|², one for s·d. */
    lanes reach_i[2] = {0.5 * room / reach, sd / reach};
    lanes contact_i[2] = {
        choose(outward, -contact * reach_i[0] / bottom, (reach_i[0] - contact) / safe),
        choose(outward, -contact * (reach_i[1] + 1.0) / bottom, (reach_i[1] - 1.0) / safe),
    };
    for (int i = 0; i < 2; i++) {
        lanes length_i = i ? zero : 0.5 / length;
        lanes L_i = (1.0 - contact) * length_i - contact_i[i] * length;
        lanes cosine_i = reach_i[i] / (R * length) - (i ? zero : 0.5 * cosine / safe);
        lanes x_i = ((1.0 - rest / w) * L_i + 0.5 * M * (1.0 - q * q) / w * cosine_i) / total;
        lanes R1_i = slope * x_i, q_i = q * (0.5 * L / M * R1_i - L_i) / M;
        lanes w_i = 0.5 * cosine_i * (1.0 - q * q) + q * q_i * (1.0 - cosine);
        lanes alpha_i = (q_i - alpha * w_i) / w;
        lanes beta_i = (cosine_i - ratio * w_i) / w - alpha_i * cosine - alpha * cosine_i;
        lanes A_i = (R1_i * alpha + R1 * alpha_i) / R;
        lanes B_i = R1_i * pull + R1 * ((alpha_i * contact + alpha * contact_i[i]) / R +
                                        (beta_i - beta * length_i / length) / length);
        *(i ? &f.A_sd : &f.A_dd) = choose(yields, A_i, zero);
        *(i ? &f.B_sd : &f.B_dd) = choose(yields, B_i, zero);
    }
    return f;
}

ALWAYS double total_of(lanes x)
{
    double sum = 0.0;
    for (int l = 0; l < LANES; l++) sum += x[l];
    return sum;
}

ALWAYS lanes load(const double *from)
{
    lanes x;
    memcpy(&x, from, sizeof x);
    return x;
}

/* One point; `place[groups]` are the elements in the order of the lanes, `encoder[m][size][groups]`,
 * `squares[m][m][groups]` and `law[4][groups]` (with 1/l) are in that order, filled up to whole groups of lanes. */
ALWAYS void point(const long elements, const long *place, const int size, const int m, const double *x,
                  const double *state, const double *encoder, const double *squares, const double *elastic,
                  const double *law, double *answer, double *new_state, double *tangent)
{
    const long padded = (elements + LANES - 1) / LANES * LANES;
    const double *old = state + m;
    double *new = new_state + m, move[MOST];
    lanes y[MOST], C[MOST][MOST];
    /* All numbers of the point in the order of the lanes, before any of them is used: a vector that is loaded from what
     * was stored piece by piece just before waits for it. */
    double row[(size + 1) * padded] __attribute__((aligned(64)));
    double *const plastic = row + size * padded;
    for (long j = 0; j < elements; j++) {
        for (int i = 0; i < size; i++) row[i * padded + j] = old[place[j] * size + i];
        plastic[j] = old[elements * size + place[j]];
    }
    for (int i = 0; i <= size; i++)
        for (long j = elements; j < padded; j++) row[i * padded + j] = 0.0;
    for (int a = 0; a < m; a++) {
        move[a] = x[a] - state[a];
        y[a] = (lanes){};
        for (int b = 0; b < m; b++) C[a][b] = (lanes){};
    }
    for (long g = 0; g < padded; g += LANES) {
        lanes d[MOST], s[MOST], dd = {}, sd = {}, ss = {}, slope, p = load(plastic + g);
        for (int i = 0; i < size; i++) {
            s[i] = load(row + i * padded + g);
            d[i] = (lanes){};
            for (int a = 0; a < m; a++) d[i] += load(encoder + (a * size + i) * padded + g) * move[a];
            dd += d[i] * d[i];
            sd += s[i] * d[i];
            ss += s[i] * s[i];
        }
        const double *here = law + g;
        const parameters k = {load(here), load(here + padded), load(here + 2 * padded), load(here + 3 * padded)};
        lanes R = radius(p, &k, &slope);
        mask yields = (dd > 0.0) & (ss + 2.0 * sd + dd > R * R);
        flow f = {all(1.0), all(1.0), p};
        const int some = any(yields);
        if (some) f = yielding(yields, dd, sd, ss, p, R, slope, &k, tangent != NULL);
        if (tangent) {
            for (int a = 0; a < m; a++)
                for (int b = 0; b < m; b++) C[a][b] += f.B * load(squares + (a * m + b) * padded + g);
            if (some) {
                lanes u[MOST], v[MOST];
                for (int a = 0; a < m; a++) {
                    u[a] = v[a] = (lanes){};
                    for (int i = 0; i < size; i++) {
                        lanes e = load(encoder + (a * size + i) * padded + g);
                        u[a] += e * s[i];
                        v[a] += e * d[i];
                    }
                }
                for (int b = 0; b < m; b++) {
                    lanes by_s = 2.0 * f.A_dd * v[b] + f.A_sd * u[b], by_d = 2.0 * f.B_dd * v[b] + f.B_sd * u[b];
                    for (int a = 0; a < m; a++) C[a][b] += u[a] * by_s + v[a] * by_d;
                }
            }
        }
        for (int i = 0; i < size; i++) {
            s[i] = f.A * s[i] + f.B * d[i];
            memcpy(row + i * padded + g, &s[i], sizeof s[i]);
            for (int a = 0; a < m; a++) y[a] += load(encoder + (a * size + i) * padded + g) * s[i];
        }
        memcpy(plastic + g, &f.p, sizeof f.p);
    }
    for (long j = 0; j < elements; j++) {
        for (int i = 0; i < size; i++) new[place[j] * size + i] = row[i * padded + j];
        new[elements * size + place[j]] = plastic[j];
    }
    for (int a = 0; a < m; a++) {
        new_state[a] = x[a];
        answer[a] = total_of(y[a]);
        for (int b = 0; b < m; b++) answer[a] += elastic[a * m + b] * x[b];
    }
    if (!tangent) return;
    for (int a = 0; a < m; a++)
        for (int b = 0; b < m; b++) tangent[a * m + b] = elastic[a * m + b] + total_of(C[a][b]);
}

void overlay_update(long points, long elements, const long *place, long size, long features, const double *x,
                    long x_stride, const double *state, long state_stride, const double *encoder, const double *squares,
                    const double *elastic, const double *law, double *answer, double *new_state, long new_stride,
                    double *tangent)
{
    for (long n = 0; n < points; n++) {
        const double *xn = x + n * x_stride, *old = state + n * state_stride;
        double *yn = answer + n * features, *new = new_state + n * new_stride;
        double *Cn = tangent ? tangent + n * features * features : NULL;
        if (features == 3 && size == 3)
            point(elements, place, 3, 3, xn, old, encoder, squares, elastic, law, yn, new, Cn);
        else if (features == 6 && size == 6)
            point(elements, place, 6, 6, xn, old, encoder, squares, elastic, law, yn, new, Cn);
        else
            point(elements, place, (int)size, (int)features, xn, old, encoder, squares, elastic, law, yn, new, Cn);
    }
}
