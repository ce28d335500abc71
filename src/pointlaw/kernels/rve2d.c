/* Many volume elements of one 2D mesh at once: equilibrium by Newton's method with a sparse Cholesky factorisation.
 *
 * Phases are linear elastic or von Mises plastic with isotropic hardening (linear and Voce), in plane strain. LANES
 * volume elements sit side by side in the lanes of a vector. Each lane is at its own point of its own Newton iteration;
 * one that has converged is written out and takes the next volume element of the batch, so no lane waits for another.
 * A lane that does not converge is left to the caller. The Python side is rve/batched.py; names agree with it. */
#include "cholesky.h"
#include "rve2d.h"

#define HISTORY 5 /* plastic strain 11, 22, 33, √2·12 and equivalent plastic strain */
#define TRIAL 6   /* the same, and σ33 */
#define MOST 9    /* nodes of a cell */
#define ROOT2 1.4142135623730951
#define ROOT32 1.224744871391589

enum { NEWTON, TANGENT, IDLE };

/* The work arrays of one batch; all of them have LANES numbers an entry. */
typedef struct {
    lanes *factor;       /* stiffness, then its factor */
    lanes *u, *f;        /* [nodes][2] displacement and force */
    lanes *coupling;     /* [nodes][2][3] forces under unit strains */
    lanes *w, *step;     /* [free][2] fluctuation and the last Newton step, in the order of elimination */
    lanes *x;            /* [4][free][2] right sides and solutions: residual, and coupling for the tangent */
    lanes *old, *trial;  /* history of the plastic points */
    lanes strain[3], unit[6]; /* unit: stress integrals under unit strains, upper triangle row by row */
} work;

typedef struct { /* where one lane is */
    long row;
    int state, iterations, halvings;
    double residual, largest, share;
} seat;

/* The stress (11, 22, true 12, 33) and, if wanted, the moduli (11, 12, 22, 13, 23, 33 for engineering shear) of one
 * plastic point under the strain (11, 22, √2·12); backward Euler as in materials/j2.py, Simo & Hughes 1998. */
ALWAYS void plastic_point(const law *p, const lanes e[3], const lanes *old, lanes *trial, lanes stress[3], lanes D[6])
{
    const double G2 = 2.0 * p->G;
    lanes a = e[0] - old[0], b = e[1] - old[1], c = -old[2], d = e[2] - old[3];
    lanes trace = a + b + c, mean = trace / 3.0;
    lanes s11 = G2 * (a - mean), s22 = G2 * (b - mean), s33 = G2 * (c - mean), s12 = G2 * d;
    lanes length = root(s11 * s11 + s22 * s22 + s33 * s33 + s12 * s12);
    lanes radius = p->yield_stress + p->H * old[4], slope = all(3.0 * p->G + p->H);
    if (p->Q != 0.0) {
        lanes fading = p->Q * exponential(-p->b * old[4]);
        radius += p->Q - fading;
        slope += p->b * fading;
    }
    lanes excess = ROOT32 * length - radius;
    mask yielding = excess > 1e-12 * radius;
    lanes dp = choose(yielding, excess / slope, all(0.0));
    if (p->Q != 0.0 && any(yielding)) /* convex and falling: Newton from the left reaches the root monotonically */
        for (int k = 0; k < 50; k++) {
            lanes fading = p->Q * exponential(-p->b * (old[4] + dp));
            lanes rest = ROOT32 * length - 3.0 * p->G * dp - (p->yield_stress + p->H * (old[4] + dp) + p->Q - fading);
            slope = 3.0 * p->G + p->H + p->b * fading;
            lanes more = choose(yielding & (rest > 1e-15 * length), rest / slope, all(0.0));
            dp += more;
            if (!any(more > 1e-15 * dp)) break;
        }
    lanes inverse = 1.0 / choose(length > 0.0, length, all(1.0));
    lanes n11 = s11 * inverse, n22 = s22 * inverse, n33 = s33 * inverse, n12 = s12 * inverse;
    lanes flow = ROOT32 * dp, back = G2 * flow, pressure = p->K * trace;
    stress[0] = s11 - back * n11 + pressure;
    stress[1] = s22 - back * n22 + pressure;
    stress[2] = (s12 - back * n12) / ROOT2;
    trial[0] = old[0] + flow * n11;
    trial[1] = old[1] + flow * n22;
    trial[2] = old[2] + flow * n33;
    trial[3] = old[3] + flow * n12;
    trial[4] = old[4] + dp;
    trial[5] = s33 - back * n33 + pressure;
    lanes theta = back * inverse, shear = G2 * (1.0 - theta);
    lanes gain = choose(yielding, G2 * theta - 1.5 * G2 * G2 / slope, all(0.0));
    lanes g1 = gain * n11, g2 = gain * n22, g3 = gain * n12;
    D[0] = p->K + (2.0 / 3.0) * shear + g1 * n11;
    D[1] = p->K - (1.0 / 3.0) * shear + g1 * n22;
    D[2] = p->K + (2.0 / 3.0) * shear + g2 * n22;
    D[3] = g1 * n12 / ROOT2;
    D[4] = g2 * n12 / ROOT2;
    D[5] = 0.5 * (shear + g3 * n12);
}

ALWAYS void point_strain(const int ne, const double *grad, const lanes (*u)[2], lanes e[3])
{
    e[0] = e[1] = e[2] = (lanes){};
    for (int a = 0; a < ne; a++) {
        e[0] += grad[2 * a] * u[a][0];
        e[1] += grad[2 * a + 1] * u[a][1];
        e[2] += grad[2 * a + 1] * u[a][0] + grad[2 * a] * u[a][1];
    }
    e[2] /= ROOT2;
}

/* Add the 2×2 blocks of a cell's stiffness (a >= b, one after the other) to the matrix. */
ALWAYS void scatter(const int ne, const int *entry, lanes (*k)[4], lanes *factor)
{
    for (int q = 0; q < ne * (ne + 1) / 2; q++) {
        const int at = entry[2 * q], ld = entry[2 * q + 1];
        if (at < 0) continue;
        lanes *to = factor + at / 4;
        if (at % 4 != 1) { /* as it is; 2: as it is and transposed, where both nodes follow the same free one */
            to[0] += k[q][0], to[1] += k[q][1], to[ld] += k[q][2], to[ld + 1] += k[q][3];
        }
        if (at % 4 != 0) {
            to[0] += k[q][0], to[1] += k[q][2], to[ld] += k[q][1], to[ld + 1] += k[q][3];
        }
    }
}

/* One plastic cell: its forces, its trial history, and its stiffness into the matrix; if wanted also its forces and
 * stress integrals under unit strains, which are by-products of the stiffness. */
ALWAYS void plastic_cell(const int ne, const rve *r, work *k, int cell, int coupled)
{
    const law *p = r->laws + r->law_of[cell];
    const int *node = r->cell_nodes + cell * ne;
    lanes u[MOST][2], f[MOST][2], ke[MOST * (MOST + 1) / 2][4], c[MOST][6];
    for (int a = 0; a < ne; a++)
        for (int i = 0; i < 2; i++) u[a][i] = k->u[2 * node[a] + i], f[a][i] = (lanes){};
    memset(ke, 0, sizeof(lanes) * 4 * (ne * (ne + 1) / 2));
    if (coupled) memset(c, 0, sizeof(lanes) * 6 * ne);
    for (int q = 0; q < r->nq; q++) {
        const double *grad = r->grad + (cell * r->nq + q) * 2 * ne, weight = r->weight[cell * r->nq + q];
        const long at = r->history[cell] + q;
        lanes e[3], s[3], D[6];
        point_strain(ne, grad, (const lanes(*)[2])u, e);
        plastic_point(p, e, k->old + HISTORY * at, k->trial + TRIAL * at, s, D);
        for (int i = 0; i < 3; i++) s[i] *= weight;
        for (int i = 0; i < 6; i++) D[i] *= weight;
        if (coupled) { /* columns: a unit of strain 11, 22, √2·12 */
            k->unit[0] += D[0], k->unit[1] += D[1], k->unit[2] += ROOT2 * D[3];
            k->unit[3] += D[2], k->unit[4] += ROOT2 * D[4], k->unit[5] += 2.0 * D[5];
        }
        lanes (*to)[4] = ke;
        for (int a = 0; a < ne; a++) {
            const double x = grad[2 * a], y = grad[2 * a + 1];
            f[a][0] += x * s[0] + y * s[2];
            f[a][1] += y * s[1] + x * s[2];
            /* rows of B_aᵀ D, then times B_b */
            lanes t0 = x * D[0] + y * D[3], t1 = x * D[1] + y * D[4], t2 = x * D[3] + y * D[5];
            lanes v0 = y * D[1] + x * D[3], v1 = y * D[2] + x * D[4], v2 = y * D[4] + x * D[5];
            if (coupled) {
                c[a][0] += t0, c[a][1] += t1, c[a][2] += t2;
                c[a][3] += v0, c[a][4] += v1, c[a][5] += v2;
            }
            for (int b = 0; b <= a; b++, to++) {
                const double bx = grad[2 * b], by = grad[2 * b + 1];
                (*to)[0] += t0 * bx + t2 * by;
                (*to)[1] += t1 * by + t2 * bx;
                (*to)[2] += v0 * bx + v2 * by;
                (*to)[3] += v1 * by + v2 * bx;
            }
        }
    }
    for (int a = 0; a < ne; a++)
        for (int i = 0; i < 2; i++) k->f[2 * node[a] + i] += f[a][i];
    if (coupled)
        for (int a = 0; a < ne; a++)
            for (int i = 0; i < 6; i++) k->coupling[6 * node[a] + i] += (i % 3 == 2 ? ROOT2 : 1.0) * c[a][i];
    scatter(ne, r->entry + cell * ne * (ne + 1), ke, k->factor);
}

/* One elastic cell: its forces; its stiffness is in the matrix already. */
ALWAYS void elastic_cell(const int ne, const rve *r, const work *k, int cell)
{
    const int *node = r->cell_nodes + cell * ne;
    const double *stiffness = r->elastic + r->history[cell] * 4L * ne * ne;
    lanes u[2 * MOST];
    for (int a = 0; a < ne; a++)
        for (int i = 0; i < 2; i++) u[2 * a + i] = k->u[2 * node[a] + i];
    for (int i = 0; i < 2 * ne; i++, stiffness += 2 * ne) {
        lanes sum = {};
        for (int j = 0; j < 2 * ne; j++) sum += stiffness[j] * u[j];
        k->f[2 * node[i / 2] + i % 2] += sum;
    }
}

/* Forces and stiffness of all cells at the present displacement. */
ALWAYS void assemble_as(const int ne, const rve *r, work *k, int coupled)
{
    for (int cell = 0; cell < r->cells; cell++)
        if (r->laws[r->law_of[cell]].plastic) plastic_cell(ne, r, k, cell, coupled);
        else elastic_cell(ne, r, k, cell);
}

/* Set the matrix to that of the elastic cells; what lies above the diagonal of a panel is never read. */
static void begin(const rve *r, lanes *factor)
{
    for (int s = 0; s < r->supernodes; s++) {
        const int n = 2 * r->width[s], m = n + 2 * r->below[s];
        const double *from = r->constant + r->start[s];
        lanes *to = factor + r->start[s];
        for (int i = 0; i < m; i++, from += n, to += n)
            for (int j = 0; j < (i < n ? i + 1 : n); j++) to[j] = all(from[j]);
    }
}

/* Forces and stiffness at the present fluctuation; if wanted also what the homogenised tangent is made of. */
static void assemble(const rve *r, work *k, int coupled)
{
    for (int a = 0; a < r->nodes; a++)
        for (int i = 0; i < 2; i++) {
            const double *d = r->place + (2 * a + i) * 3;
            lanes u = d[0] * k->strain[0] + d[1] * k->strain[1] + d[2] * k->strain[2];
            k->u[2 * a + i] = r->free_of[a] < 0 ? u : u + k->w[2 * r->free_of[a] + i];
        }
    memset(k->f, 0, sizeof(lanes) * 2 * r->nodes);
    begin(r, k->factor);
    if (coupled) {
        for (int i = 0; i < 6 * r->nodes; i++) k->coupling[i] = all(r->coupling[i]);
        for (int i = 0, q = 0; i < 3; i++)
            for (int j = i; j < 3; j++) k->unit[q++] = all(r->unit[3 * i + j]);
    }
    switch (r->ne) {
    case 3: assemble_as(3, r, k, coupled); break;
    case 4: assemble_as(4, r, k, coupled); break;
    default: assemble_as(r->ne, r, k, coupled);
    }
}

#include "rve2d_newton.h"
