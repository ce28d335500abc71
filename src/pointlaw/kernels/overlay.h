void overlay_scan(long paths, long steps, long elements, long size, const double *increment, const double *parameters,
                  double *stress, double *plastic);
void overlay_pull(long paths, long steps, long elements, long size, const double *increment, const double *parameters,
                  const double *stress, const double *plastic, const double *pull_stress, double *pull_increment,
                  double *pull_parameters);
