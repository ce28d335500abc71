/* Cholesky factorisation A = L Lᵀ of LANES sparse matrices with one pattern, panel by panel (symbolic.py lays them out).
 *
 * A panel is dense: 2·(width + below) rows of n = 2·width vectors, row after row. Its square top is the diagonal part,
 * of which only the lower triangle is used; the diagonal itself is kept as its inverse. A right-looking step factorises
 * the panel and subtracts the products of its lower rows from the panels to the right; where each block goes is read
 * from the stream `target`. The arithmetic is done in tiles of 4×4 numbers that stay in registers. */
#ifndef POINTLAW_CHOLESKY_H
#define POINTLAW_CHOLESKY_H

#include "lanes.h"

typedef struct {
    int supernodes, nodes;
    const int *first, *width, *below, *start; /* of each supernode */
    const int *rows, *target, *stride;        /* streams; see symbolic.py */
} pattern;

/* sum[i][j] = Σ_k a[i][k]·b[j][k] for `mr` rows of a and `nr` rows of b, all of them with rows of `ld` vectors. */
ALWAYS void products(const int mr, const int nr, const lanes *a, const lanes *b, int ld, int n, lanes sum[4][4])
{
#pragma GCC unroll 4
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nr; j++) sum[i][j] = (lanes){};
    for (int k = 0; k < n; k++) {
        lanes x[4], y[4];
#pragma GCC unroll 4
        for (int i = 0; i < mr; i++) x[i] = a[i * ld + k];
#pragma GCC unroll 4
        for (int j = 0; j < nr; j++) y[j] = b[j * ld + k];
#pragma GCC unroll 4
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nr; j++) sum[i][j] += x[i] * y[j];
    }
}

/* Factorise the diagonal tile of size c at `a`; lanes with a pivot that is not positive are marked in `bad`. */
ALWAYS void diagonal_tile(const int c, lanes *a, int ld, const lanes *floor, mask *bad)
{
    for (int j = 0; j < c; j++) {
        lanes d = a[j * ld + j];
        for (int k = 0; k < j; k++) d -= a[j * ld + k] * a[j * ld + k];
        mask wrong = ~(d > *floor); /* also where d is not a number */
        *bad |= wrong;
        lanes inverse = 1.0 / root(choose(wrong, all(1.0), d));
        a[j * ld + j] = inverse;
        for (int i = j + 1; i < c; i++) {
            lanes x = a[i * ld + j];
            for (int k = 0; k < j; k++) x -= a[i * ld + k] * a[j * ld + k];
            a[i * ld + j] = x * inverse;
        }
    }
}

/* Rows i … i+mr of the columns j … j+nr of a panel: subtract what the columns before contribute, then divide by the
 * diagonal tile. */
ALWAYS void panel_tile(const int mr, const int nr, lanes *panel, int n, int i, int j)
{
    lanes sum[4][4];
    lanes *a = panel + i * n, *b = panel + j * n;
    products(mr, nr, a, b, n, j, sum);
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (int c = 0; c < nr; c++) {
            lanes x = a[r * n + j + c] - sum[r][c];
#pragma GCC unroll 4
            for (int k = 0; k < c; k++) x -= a[r * n + j + k] * b[c * n + j + k];
            a[r * n + j + c] = x * b[c * n + j + c];
        }
}

ALWAYS void panel_columns(const int nr, lanes *panel, int m, int n, int j, const lanes *floor, mask *bad)
{
    lanes sum[4][4];
    lanes *b = panel + j * n;
    products(nr, nr, b, b, n, j, sum);
    for (int r = 0; r < nr; r++)
        for (int c = 0; c <= r; c++) b[r * n + j + c] -= sum[r][c];
    diagonal_tile(nr, b + j, n, floor, bad);
    int i = j + nr;
    for (; i + 4 <= m; i += 4) panel_tile(4, nr, panel, n, i, j);
    if (i < m) panel_tile(2, nr, panel, n, i, j);
}

/* Subtract the product of two (or one) rows of nodes i and two (or one) columns of nodes j from their targets. */
ALWAYS void update_tile(const int mi, const int nj, lanes *factor, const lanes *low, int n, int i, int j,
                        const int *const at[2], const int *stride)
{
    lanes sum[4][4];
    products(2 * mi, 2 * nj, low + 2 * i * n, low + 2 * j * n, n, n, sum);
#pragma GCC unroll 2
    for (int c = 0; c < nj; c++)
#pragma GCC unroll 2
        for (int r = 0; r < mi; r++) {
            if (i + r < j + c) continue; /* above the diagonal */
            lanes *to = factor + at[c][i + r - j - c];
            int ld = stride[j + c];
            to[0] -= sum[2 * r][2 * c];
            to[1] -= sum[2 * r][2 * c + 1];
            to[ld] -= sum[2 * r + 1][2 * c];
            to[ld + 1] -= sum[2 * r + 1][2 * c + 1];
        }
}

static void update(lanes *factor, const lanes *low, int n, int below, const int *target, const int *stride)
{
    for (int j = 0; j < below; j += 2) {
        const int two = j + 1 < below;
        const int *const at[2] = {target, target + (below - j)};
        int i = j;
        for (; i + 2 <= below; i += 2) {
            if (two) update_tile(2, 2, factor, low, n, i, j, at, stride);
            else update_tile(2, 1, factor, low, n, i, j, at, stride);
        }
        if (i < below) {
            if (two) update_tile(1, 2, factor, low, n, i, j, at, stride);
            else update_tile(1, 1, factor, low, n, i, j, at, stride);
        }
        target += (below - j) + (two ? below - j - 1 : 0);
    }
}

/* Factorise in place; return the lanes whose matrix is not positive definite (pivots must exceed `floor`). */
static mask factorise(const pattern *p, lanes *factor, lanes floor)
{
    mask bad = {};
    const int *target = p->target, *stride = p->stride;
    for (int s = 0; s < p->supernodes; s++) {
        lanes *panel = factor + p->start[s];
        const int below = p->below[s], n = 2 * p->width[s], m = n + 2 * below;
        int j = 0;
        for (; j + 4 <= n; j += 4) panel_columns(4, panel, m, n, j, &floor, &bad);
        if (j < n) panel_columns(2, panel, m, n, j, &floor, &bad);
        update(factor, panel + n * n, n, below, target, stride);
        target += below * (below + 1) / 2;
        stride += below;
    }
    return bad;
}

#define EACH _Pragma("GCC unroll 4") for (int q = 0; q < many; q++)

/* Solve L y = b in place for `many` <= 4 right sides, x[many][2·nodes] in the order of elimination; every number of
 * the factor is read once and used for all of them. Note that bᵀA⁻¹b = yᵀy. */
ALWAYS void forward(const int many, const pattern *p, const lanes *factor, lanes *x)
{
    const int size = 2 * p->nodes;
    const int *rows = p->rows;
    lanes one[4], two[4];
    for (int s = 0; s < p->supernodes; s++) {
        const int n = 2 * p->width[s];
        const lanes *a = factor + p->start[s];
        lanes *b = x + 2 * p->first[s];
        for (int i = 0; i < n; i++, a += n) {
            EACH one[q] = b[q * size + i];
            for (int k = 0; k < i; k++) EACH one[q] -= a[k] * b[q * size + k];
            EACH b[q * size + i] = one[q] * a[i];
        }
        for (int r = 0; r < p->below[s]; r++, a += 2 * n) {
            lanes *to = x + 2 * rows[r];
            EACH one[q] = to[q * size], two[q] = to[q * size + 1];
            for (int k = 0; k < n; k++) EACH one[q] -= a[k] * b[q * size + k], two[q] -= a[n + k] * b[q * size + k];
            EACH to[q * size] = one[q], to[q * size + 1] = two[q];
        }
        rows += p->below[s];
    }
}

/* Solve Lᵀ x = y in place for `many` <= 4 right sides. */
ALWAYS void backward(const int many, const pattern *p, const lanes *factor, lanes *x)
{
    const int size = 2 * p->nodes;
    const int *rows = p->rows;
    lanes one[4], two[4];
    for (int s = 0; s < p->supernodes; s++) rows += p->below[s];
    for (int s = p->supernodes - 1; s >= 0; s--) {
        const int n = 2 * p->width[s];
        const lanes *top = factor + p->start[s], *a = top + n * n;
        lanes *b = x + 2 * p->first[s];
        rows -= p->below[s];
        for (int r = 0; r < p->below[s]; r++, a += 2 * n) {
            const lanes *from = x + 2 * rows[r];
            EACH one[q] = from[q * size], two[q] = from[q * size + 1];
            for (int k = 0; k < n; k++) EACH b[q * size + k] -= a[k] * one[q] + a[n + k] * two[q];
        }
        for (int i = n - 1; i >= 0; i--) {
            EACH b[q * size + i] = one[q] = b[q * size + i] * top[i * n + i];
            for (int k = 0; k < i; k++) EACH b[q * size + k] -= top[i * n + k] * one[q];
        }
    }
}

#endif
