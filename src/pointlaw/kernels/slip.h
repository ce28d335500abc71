void slip_rows(long rows, long features, long systems, const double *directions, const double *law, const double *stress,
               long stress_stride, const double *hardening, long hardening_stride, const double *increment,
               double *new_stress, long new_stress_stride, double *new_hardening, long new_hardening_stride,
               double *slope);
void slip_scan(long paths, long steps, long features, long systems, const double *directions, const double *law,
               const double *increment, double *stress, double *hardening);
