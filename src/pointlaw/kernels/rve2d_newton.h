/* The lanes at work: loading volume elements, Newton steps with backtracking, writing answers. Part of rve2d.c. */

/* Put row `row` of the batch into lane l; return 0 if its state has what plane strain never makes. */
static int load(const rve *r, work *k, seat *s, int l, long row, const double *strain, const double *state)
{
    const double *mine = state + row * r->state_size;
    *s = (seat){row, NEWTON, 0, 0, HUGE_VAL, 0.0, 1.0};
    for (int i = 0; i < 3; i++) k->strain[i][l] = strain[3 * row + i];
    for (int a = 0; a < r->free; a++)
        for (int i = 0; i < 2; i++) {
            k->w[2 * a + i][l] = mine[r->fluctuation + 2 * r->unknown[a] + i];
            k->step[2 * a + i][l] = 0.0;
        }
    double outside = 0.0;
    for (int cell = 0; cell < r->cells; cell++) {
        if (!r->laws[r->law_of[cell]].plastic) continue;
        const double *from = mine + r->state_of[cell];
        lanes *to = k->old + HISTORY * (long)r->history[cell];
        for (int q = 0; q < r->nq; q++, from += r->point_size[cell], to += HISTORY) {
            /* σ33, √2·σ23, √2·σ13, then plastic strain 11, 22, 33, √2·23, √2·13, √2·12, then its equivalent */
            to[0][l] = from[3], to[1][l] = from[4], to[2][l] = from[5], to[3][l] = from[8], to[4][l] = from[9];
            outside += fabs(from[6]) + fabs(from[7]);
        }
    }
    return outside == 0.0;
}

/* Write the answer of lane l. */
static void unload(const rve *r, const work *k, const seat *s, int l, const double *strain, double *stress,
                   double *new_state)
{
    double *mine = new_state + s->row * r->state_size, sum[3] = {0.0, 0.0, 0.0};
    for (int i = 0; i < 2 * r->nodes; i++)
        for (int j = 0; j < 3; j++) sum[j] += r->place[3 * i + j] * k->f[i][l];
    for (int j = 0; j < 3; j++) {
        stress[3 * s->row + j] = sum[j] / r->volume;
        mine[r->strain + j] = strain[3 * s->row + j];
    }
    for (int a = 0; a < r->free; a++)
        for (int i = 0; i < 2; i++) mine[r->fluctuation + 2 * r->unknown[a] + i] = k->w[2 * a + i][l];
    for (int cell = 0; cell < r->cells; cell++) {
        const law *p = r->laws + r->law_of[cell];
        const int *node = r->cell_nodes + cell * r->ne;
        double *to = mine + r->state_of[cell];
        const lanes *from = k->trial + TRIAL * (long)r->history[cell];
        for (int q = 0; q < r->nq; q++, to += r->point_size[cell], from += TRIAL) {
            if (p->plastic) {
                to[0] = from[5][l], to[1] = to[2] = 0.0, to[3] = from[0][l], to[4] = from[1][l], to[5] = from[2][l];
                to[8] = from[3][l], to[9] = from[4][l];
            } else { /* the stress out of the plane is all an elastic point remembers */
                const double *grad = r->grad + (cell * r->nq + q) * 2 * r->ne;
                double trace = 0.0;
                for (int a = 0; a < 2 * r->ne; a++) trace += grad[a] * k->u[2 * node[a / 2] + a % 2][l];
                to[0] = (p->K - 2.0 / 3.0 * p->G) * trace, to[1] = to[2] = 0.0;
            }
        }
    }
}

/* Put the right sides of the homogenised tangents, B = PᵀKD, behind the residual. */
static void tangent_sides(const rve *r, work *k)
{
    const int size = 2 * r->free;
    lanes *B = k->x + size;
    memset(B, 0, sizeof(lanes) * 3 * size);
    for (int a = 0; a < r->nodes; a++)
        for (int i = 0; i < 2 && r->free_of[a] >= 0; i++)
            for (int j = 0; j < 3; j++) B[j * size + 2 * r->free_of[a] + i] += k->coupling[(2 * a + i) * 3 + j];
}

/* Tangents (DᵀKD − BᵀA⁻¹B)/V of the lanes whose matrix was factorised at their solution; behind the residual x holds
 * Y = L⁻¹B, and BᵀA⁻¹B = YᵀY. */
static void tangents(const rve *r, const work *k, const seat *seats, double *tangent)
{
    const int size = 2 * r->free;
    const lanes *Y = k->x + size;
    lanes sum[6];
    for (int i = 0; i < 6; i++) sum[i] = k->unit[i];
    for (int a = 0; a < size; a++) {
        const lanes x = Y[a], y = Y[size + a], z = Y[2 * size + a];
        sum[0] -= x * x, sum[1] -= x * y, sum[2] -= x * z;
        sum[3] -= y * y, sum[4] -= y * z, sum[5] -= z * z;
    }
    for (int i = 0, q = 0; i < 3; i++)
        for (int j = i; j < 3; j++, q++)
            for (int l = 0; l < LANES; l++) {
                if (seats[l].state != TANGENT) continue;
                double *mine = tangent + 9 * seats[l].row;
                mine[3 * i + j] = mine[3 * j + i] = sum[q][l] / r->volume;
            }
}

/* Residual on the free unknowns into x, its norm and that of all forces. */
static void norms(const rve *r, work *k, lanes *residual, lanes *force)
{
    lanes sum = {}, total = {};
    memset(k->x, 0, sizeof(lanes) * 2 * r->free);
    for (int a = 0; a < r->nodes; a++)
        for (int i = 0; i < 2; i++) {
            lanes f = k->f[2 * a + i];
            total += f * f;
            if (r->free_of[a] >= 0) k->x[2 * r->free_of[a] + i] += f;
        }
    for (int a = 0; a < 2 * r->free; a++) sum += k->x[a] * k->x[a];
    *residual = root(sum);
    *force = root(total);
}

/* What lane l does after its residual is known: 1 it is done, 0 it goes on, -1 it has failed. */
static int judge(seat *s, double residual, double force, double tolerance, double floor_force, int most)
{
    if (!isfinite(residual)) return -1;
    if (force > s->largest) s->largest = force;
    if (residual <= fmax(tolerance * s->largest, floor_force)) return 1;
    if (residual >= s->residual && s->halvings < 7) { /* went too far: come back half way, or whole after the sixth */
        s->share = ++s->halvings < 7 ? 0.5 * s->share : 1.0;
        return 0;
    }
    if (s->iterations >= most) return -1;
    s->residual = residual, s->halvings = 0;
    return 0;
}

int rve2d_lanes(void) { return LANES; }

/* Numbers of work memory that rve2d_solve needs. */
long rve2d_work(const rve *r)
{
    return LANES * (r->pattern_size + 10L * r->nodes + 2L * r->free * 6 + (HISTORY + TRIAL) * (long)r->plastic_points);
}

/* Solve n volume elements; `memory` is aligned to a vector. Rows with status -1 are untouched; returns their number. */
long rve2d_solve(const rve *r, long n, const double *strain, const double *state, double *stress, double *tangent,
                 double *new_state, signed char *status, int *iterations, double tolerance, double floor_force,
                 int most_iterations, double *memory)
{
    const pattern p = {r->supernodes, r->free, r->first, r->width, r->below, r->start, r->rows, r->target, r->stride};
    const int size = 2 * r->free;
    work k;
    memset(&k, 0, sizeof k);
    lanes *at = (lanes *)memory;
    k.factor = at, at += r->pattern_size;
    k.u = at, at += 2 * r->nodes;
    k.f = at, at += 2 * r->nodes;
    k.coupling = at, at += 6 * r->nodes;
    k.w = at, at += size;
    k.step = at, at += size;
    k.x = at, at += 4 * size;
    k.old = at, at += HISTORY * (long)r->plastic_points;
    k.trial = at;
    memset(memory, 0, sizeof(double) * rve2d_work(r));
    seat seats[LANES];
    long next = 0, failed = 0, busy = 0;
    for (int l = 0; l < LANES; l++) seats[l] = (seat){-1, IDLE, 0, 0, 0.0, 0.0, 1.0};
    for (;;) {
        busy = 0;
        for (int l = 0; l < LANES; l++) {
            while (seats[l].state == IDLE && next < n) {
                status[next] = -1;
                if (!load(r, &k, seats + l, l, next++, strain, state)) seats[l].state = IDLE, failed++;
            }
            busy += seats[l].state != IDLE;
        }
        if (!busy) return failed;
        lanes residual, force;
        assemble(r, &k, tangent != NULL);
        norms(r, &k, &residual, &force);
        int newton = 0, tangent_wanted = 0;
        for (int l = 0; l < LANES; l++) {
            seat *s = seats + l;
            if (s->state == IDLE) continue;
            const int halvings = s->halvings;
            const double share = s->share;
            const int verdict = judge(s, residual[l], force[l], tolerance, floor_force, most_iterations);
            if (verdict < 0) {
                s->state = IDLE, failed++;
            } else if (verdict > 0) {
                unload(r, &k, s, l, strain, stress, new_state);
                status[s->row] = 1, iterations[s->row] = s->iterations;
                s->state = tangent ? TANGENT : IDLE;
                tangent_wanted += s->state == TANGENT;
            } else if (s->halvings > halvings) { /* another share of the same step; no factor needed */
                for (int a = 0; a < size; a++) k.w[a][l] -= (s->share - share) * k.step[a][l];
            } else {
                newton++;
            }
        }
        if (!newton && !tangent_wanted) continue;
        const mask bad = factorise(&p, k.factor, all(0.0));
        if (tangent_wanted) {
            tangent_sides(r, &k);
            forward(4, &p, k.factor, k.x);
        } else {
            forward(1, &p, k.factor, k.x);
        }
        backward(1, &p, k.factor, k.x);
        for (int l = 0; l < LANES; l++) {
            seat *s = seats + l;
            if (s->state == IDLE || (s->state == NEWTON && s->halvings > 0)) continue;
            if (bad[l]) {
                s->state = IDLE, failed++, status[s->row] = -1;
            } else if (s->state == NEWTON) {
                s->share = 1.0, s->iterations++;
                for (int a = 0; a < size; a++) {
                    k.step[a][l] = k.x[a][l];
                    k.w[a][l] -= k.x[a][l];
                }
            }
        }
        if (tangent_wanted) tangents(r, &k, seats, tangent);
        for (int l = 0; l < LANES; l++)
            if (seats[l].state == TANGENT) seats[l].state = IDLE;
    }
}
