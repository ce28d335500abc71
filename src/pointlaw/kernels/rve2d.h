/* What Python hands to the batched solver of 2D volume elements; batched.py fills it. cffi reads this file too. */
typedef struct {
    int plastic;
    double K, G, yield_stress, H, Q, b; /* bulk and shear modulus; the rest of plastic phases only */
} law;

typedef struct {
    int ne, nq;                /* nodes and quadrature points of a cell */
    int nodes, free, cells;    /* all nodes, free nodes, cells */
    int plastic_points;
    long state_size, fluctuation, strain; /* size of a state row, and where fluctuation and strain begin in it */
    double volume;
    const int *cell_nodes;     /* [cells][ne] */
    const int *free_of;        /* [nodes] place of the free node it follows in the order of elimination, or -1 */
    const int *unknown;        /* [free] place of a free node's pair in the fluctuation of the state */
    const double *place;       /* [nodes][2][3] displacement under unit strains */
    const double *grad;        /* [cells][nq][ne][2] gradients of the shape functions */
    const double *weight;      /* [cells][nq] */
    const law *laws;
    const int *law_of;         /* [cells] */
    const long *state_of;      /* [cells] where the state of its first point begins */
    const int *point_size;     /* [cells] state entries of a point */
    const int *history;        /* [cells] first plastic point, or number of the elastic stiffness */
    const int *entry;          /* [cells][ne (ne + 1)/2][2] place in the matrix times 4 plus orientation; row length */
    const double *elastic;     /* [elastic cells][2 ne][2 ne] */
    const double *constant;    /* [pattern_size] matrix of the elastic cells */
    const double *coupling;    /* [nodes][2][3] forces of the elastic cells under unit strains */
    const double *unit;        /* [3][3] their stress integrals under unit strains */
    long pattern_size;
    int supernodes;
    const int *first, *width, *below, *start, *rows, *target, *stride; /* see symbolic.py */
} rve;

int rve2d_lanes(void);
long rve2d_work(const rve *r);
long rve2d_solve(const rve *r, long n, const double *strain, const double *state, double *stress, double *tangent,
                 double *new_state, signed char *status, int *iterations, double tolerance, double floor_force,
                 int most_iterations, double *memory);
