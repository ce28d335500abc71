"""The C program between pointlaw and a UMAT: the loop over points, the crash guard and Abaqus' utility routines.

It is compiled once at first use. The loop calls the user's routine with the 37 arguments of Abaqus; a signal or XIT
inside it ends the loop and is reported with the number of the point, and a STOP, which would end the whole process with
a clean exit, is turned into a message and a failure.
"""

UMAT_DRIVER = r"""
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*umat_routine)(
    double *stress, double *statev, double *ddsdde, double *sse, double *spd, double *scd, double *rpl,
    double *ddsddt, double *drplde, double *drpldt, const double *stran, const double *dstran, const double *time,
    const double *dtime, const double *temp, const double *dtemp, const double *predef, const double *dpred,
    const char *cmname, const int *ndi, const int *nshr, const int *ntens, const int *nstatv, const double *props,
    const int *nprops, const double *coords, const double *drot, double *pnewdt, const double *celent,
    const double *dfgrd0, const double *dfgrd1, const int *noel, const int *npt, const int *layer, const int *kspt,
    const int *jstep, const int *kinc, size_t cmname_length);

enum { CALLED_XIT = 1000 };
static __thread sigjmp_buf escape;
static __thread volatile sig_atomic_t inside = 0;
static const char *library = "?";
static const int caught[5] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static void on_signal(int number) {
    if (inside) siglongjmp(escape, number);
    signal(number, SIG_DFL);
    raise(number);
}

/* A Fortran STOP calls exit(): without this the job would end in the middle of a step, and look as if all was well. */
static void on_exit_inside(void) {
    if (!inside) return;
    static const char text[] = "\npointlaw: the process was ended by STOP or exit() inside the UMAT library ";
    if (write(2, text, sizeof text - 1) < 0 || write(2, library, strlen(library)) < 0 || write(2, "\n", 1) < 0) {}
    _exit(70);
}

__attribute__((constructor)) static void install(void) { atexit(on_exit_inside); }

void xit_(void) {
    if (inside) siglongjmp(escape, CALLED_XIT);
    exit(1);
}

void stdb_abqerr_(const int *level, const char *text, const int *intv, const double *realv, const char *charv,
                  size_t length, size_t charv_length) {
    (void)intv; (void)realv; (void)charv; (void)charv_length;
    fprintf(stderr, "UMAT message (level %d): %.*s\n", *level, (int)length, text);
    if (*level == -3) xit_();
}

static void unpack(const double *s, int ndi, int nshr, double shear, double a[3][3]) {
    static const int row[3] = {0, 0, 1}, column[3] = {1, 2, 2};
    memset(a, 0, 9 * sizeof(double));
    for (int i = 0; i < ndi; i++) a[i][i] = s[i];
    for (int k = 0; k < nshr; k++) a[row[k]][column[k]] = a[column[k]][row[k]] = shear * s[ndi + k];
}

void sinv_(const double *s, double *first, double *second, const int *ndi, const int *nshr) {
    double a[3][3], sum = 0.0;
    unpack(s, *ndi, *nshr, 1.0, a);
    *first = (a[0][0] + a[1][1] + a[2][2]) / 3.0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) sum += (a[i][j] - (i == j) * *first) * (a[i][j] - (i == j) * *first);
    *second = sqrt(1.5 * sum);
}

void sprinc_(const double *s, double *ps, const int *lstr, const int *ndi, const int *nshr) {
    double a[3][3];
    unpack(s, *ndi, *nshr, *lstr == 2 ? 0.5 : 1.0, a);
    for (int sweep = 0; sweep < 50; sweep++)
        for (int p = 0; p < 2; p++)
            for (int q = p + 1; q < 3; q++) {
                if (a[p][q] == 0.0) continue;
                double angle = 0.5 * atan2(2.0 * a[p][q], a[q][q] - a[p][p]), c = cos(angle), t = sin(angle);
                for (int k = 0; k < 3; k++) {
                    double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - t * y; a[k][q] = t * x + c * y;
                }
                for (int k = 0; k < 3; k++) {
                    double x = a[p][k], y = a[q][k];
                    a[p][k] = c * x - t * y; a[q][k] = t * x + c * y;
                }
            }
    for (int i = 0; i < 3; i++) ps[i] = a[i][i];
}

void rotsig_(const double *s, const double *r, double *turned, const int *lstr, const int *ndi, const int *nshr) {
    static const int row[3] = {0, 0, 1}, column[3] = {1, 2, 2};
    double a[3][3], b[3][3], shear = *lstr == 2 ? 0.5 : 1.0;
    unpack(s, *ndi, *nshr, shear, a);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            b[i][j] = 0.0;
            for (int k = 0; k < 3; k++)
                for (int l = 0; l < 3; l++) b[i][j] += r[i + 3 * k] * a[k][l] * r[j + 3 * l];
        }
    for (int i = 0; i < *ndi; i++) turned[i] = b[i][i];
    for (int k = 0; k < *nshr; k++) turned[*ndi + k] = b[row[k]][column[k]] / shear;
}

static void gradient(const double *strain, int ndi, int nshr, double f[9]) {
    double a[3][3];
    unpack(strain, ndi, nshr, 0.5, a);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) f[i + 3 * j] = a[i][j] + (i == j);
}

/* Returns 0, or the signal (or CALLED_XIT) that ended the loop at point *reached. */
int pointlaw_umat(void *routine, const char *name, int guard, int points, int ndi, int nshr, int nstatv, int nprops,
                  const double *props, const char *cmname, double dt, double *stress, double *statev, double *ddsdde,
                  double *energy, const double *stran, const double *dstran, const double *time, const int *kinc,
                  double *pnewdt, int *reached) {
    struct sigaction action, before[5];
    static __thread char stack[1 << 16];
    stack_t spare, old_spare;
    const umat_routine umat = (umat_routine)routine;
    const int ntens = ndi + nshr, one = 1, jstep[4] = {1, 0, 0, 0};
    const double zero[3] = {0.0, 0.0, 0.0}, drot[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, length = 1.0;
    volatile int point = 0;
    library = name;
    if (guard) {
        memset(&spare, 0, sizeof spare);
        spare.ss_sp = stack;
        spare.ss_size = sizeof stack;
        sigaltstack(&spare, &old_spare);
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = SA_ONSTACK;
        for (int k = 0; k < 5; k++) sigaction(caught[k], &action, &before[k]);
    }
    int outcome = sigsetjmp(escape, 1);
    if (outcome == 0) {
        inside = 1;
        for (; point < points; point++) {
            const int p = point;
            double rpl = 0.0, drpldt = 0.0, ddsddt[6] = {0}, drplde[6] = {0}, f0[9], f1[9], end[6];
            for (int k = 0; k < ntens; k++) end[k] = stran[p * ntens + k] + dstran[p * ntens + k];
            gradient(stran + p * ntens, ndi, nshr, f0);
            gradient(end, ndi, nshr, f1);
            pnewdt[p] = 1.0;
            memset(ddsdde + p * ntens * ntens, 0, sizeof(double) * ntens * ntens);
            umat(stress + p * ntens, statev + p * nstatv, ddsdde + p * ntens * ntens, energy + 3 * p,
                 energy + 3 * p + 1, energy + 3 * p + 2, &rpl, ddsddt, drplde, &drpldt, stran + p * ntens,
                 dstran + p * ntens, time + 2 * p, &dt, zero, zero, zero, zero, cmname, &ndi, &nshr, &ntens, &nstatv,
                 props, &nprops, zero, drot, pnewdt + p, &length, f0, f1, &one, &one, &one, &one, jstep, kinc + p,
                 80);
        }
    }
    inside = 0;
    if (guard) {
        for (int k = 0; k < 5; k++) sigaction(caught[k], &before[k], NULL);
        sigaltstack(&old_spare, NULL);
    }
    *reached = point;
    return outcome;
}
"""
